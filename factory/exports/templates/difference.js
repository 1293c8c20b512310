"use strict";
// What only one of two texts says, word by word, by their longest common subsequence: each text in pieces, with whether
// the other one lacks it; null where both are too long for that.
const parted = (one, two) => {
  const CELLS = 2.5e7;
  const [a, b] = [one, two].map((text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) || []);
  let start = 0, ends = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  while (ends < Math.min(a.length, b.length) - start && a[a.length - 1 - ends] === b[b.length - 1 - ends]) ends += 1;
  const n = a.length - ends - start, m = b.length - ends - start;
  if (n * m > CELLS) return null;
  // 16 bits do: no subsequence is longer than the shorter side, and the product of both is bounded above.
  const long = new Uint16Array((n + 1) * (m + 1)), wide = m + 1;
  for (let i = n - 1; i >= 0; i -= 1) for (let j = m - 1; j >= 0; j -= 1) {
    long[i * wide + j] = a[start + i] === b[start + j] ? long[(i + 1) * wide + j + 1] + 1
      : Math.max(long[(i + 1) * wide + j], long[i * wide + j + 1]);
  }
  const own = [new Uint8Array(a.length), new Uint8Array(b.length)];
  let i = 0, j = 0;
  while (i < n || j < m) {
    if (i < n && j < m && a[start + i] === b[start + j]) { i += 1; j += 1; }
    else if (j >= m || (i < n && long[(i + 1) * wide + j] >= long[i * wide + j + 1])) own[0][start + i++] = 1;
    else own[1][start + j++] = 1;
  }
  return [a, b].map((words, side) => {
    const pieces = [];
    for (let at = 0, end = 0; at < words.length; at = end) {
      while (end < words.length && own[side][end] === own[side][at]) end += 1;
      pieces.push([words.slice(at, end).join(""), own[side][at]]);
    }
    return pieces;
  });
};
