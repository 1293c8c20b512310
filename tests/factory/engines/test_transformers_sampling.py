import torch

from factory.engines.batch_invariant import pick


def tokens(probabilities, uniforms, temperature=1.0, top_p=1.0):
    rows = len(uniforms)
    logits = torch.tensor(probabilities).log().expand(rows, -1)
    settings = (torch.full((rows,), float(value)) for value in (temperature, top_p))
    return pick(logits, *settings, torch.tensor(uniforms, dtype=torch.float64)).tolist()


def test_the_inverse_cdf_takes_tokens_by_falling_probability():
    """Order 2 (0.5), 0 (0.3), 1 (0.2): up to 0.5 token 2, up to 0.8 token 0, then token 1."""
    assert tokens([0.3, 0.2, 0.5], [0.0, 0.49, 0.51, 0.79, 0.81, 0.999]) == [2, 2, 0, 0, 1, 1]


def test_the_nucleus_is_the_fewest_tokens_that_reach_top_p():
    """0.5 falls short of 0.7 and 0.5 + 0.3 reaches it: token 1 is out, and 2 takes 0.5/0.8 = 0.625 of the line."""
    assert tokens([0.3, 0.2, 0.5], [0.62, 0.63, 0.999], top_p=0.7) == [2, 0, 0]
    assert tokens([0.3, 0.2, 0.5], [0.999], top_p=0.5) == [2]
    assert tokens([0.3, 0.2, 0.5], [0.999], top_p=0.01) == [2]


def test_temperature_sharpens_before_the_nucleus_is_cut():
    """At temperature 0.5 the probabilities are squared: 9, 4 and 25 of 38, so token 2 holds 0.658."""
    assert tokens([0.3, 0.2, 0.5], [0.65, 0.66, 0.9], temperature=0.5) == [2, 0, 1]
    assert tokens([0.3, 0.2, 0.5], [0.999], temperature=0.0) == [2]


def test_a_nucleus_larger_than_the_first_guess_is_found():
    """1,000 equal tokens: any number below one is as good as any, and the shares come out even."""
    even = [0.001] * 1000
    found = tokens(even, [i / 1000 + 0.0005 for i in range(1000)])
    assert sorted(found) == list(range(1000))
    assert len(set(tokens(even, [i / 1000 for i in range(1000)], top_p=0.8005))) == 801


def test_rows_do_not_disturb_one_another():
    torch.manual_seed(0)
    logits = torch.randn(8, 500) * 3
    settings = torch.tensor([[0.7, 0.8, 0.3], [0, 1, 0.5], [1.5, 1, 0.9], [0.7, 0.2, 0.1]] * 2).unbind(1)
    together = pick(logits, *settings)
    alone = [pick(logits[i : i + 1], *(column[i : i + 1] for column in settings)) for i in range(8)]
    assert together.tolist() == [int(token) for token in alone]
    assert together[1] == logits[1].argmax()


def test_frequencies_are_the_probabilities():
    generator = torch.Generator().manual_seed(1)
    uniforms = torch.rand(20000, generator=generator, dtype=torch.float64).tolist()
    found = torch.tensor(tokens([0.1, 0.6, 0.3], uniforms)).bincount(minlength=3) / 20000
    assert torch.allclose(found, torch.tensor([0.1, 0.6, 0.3]), atol=0.01)
