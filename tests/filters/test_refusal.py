import pytest

from tests.filters.table import row, run, table

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, I cannot assist with that request.",
    "Sorry, I can't do that.",
    "**I cannot provide instructions for this.**",
    "I can't help with that.",
    "As an AI language model, I don't have opinions.",
    "As an AI, I cannot know that.",
    "Unfortunately, I am unable to help you here.",
    "I'm not able to write that.",
    "My apologies, but I won't do this.",
    "I must respectfully decline.",
    "I do not feel comfortable with this.",
    "We are very sorry, but we are unable to answer.",
    "I understand, but I can't help with that.",
    "Hello! I'm afraid I can't assist with that.",
    "No, I will not do that.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "No puedo ayudar con esa solicitud.",
    "Desculpe, mas não posso ajudar com isso.",
    "Mi dispiace, ma non posso aiutarti.",
    "Je suis désolé, mais je ne peux pas vous aider.",
    "Es tut mir leid, aber ich kann dabei nicht helfen.",
    "Leider kann ich dazu keine Auskunft geben.",
    "Het spijt me, maar ik kan daar niet mee helpen.",
    "Извините, но я не могу помочь с этим.",
    "Przykro mi, ale nie mogę w tym pomóc.",
    "Üzgünüm, ama bu konuda yardımcı olamam.",
    "عذراً، لا أستطيع المساعدة في ذلك.",
    "很抱歉，我无法帮助您完成这个请求。",
    "作为一个人工智能助手，我无法提供这些内容。",
    "申し訳ありませんが、そのリクエストにはお応えできません。",
    "죄송하지만 그 요청은 도와드릴 수 없습니다.",
]
ANSWERS = [
    "I can help with that.",
    "Sorry to hear that! You can ask for a refund.",
    "I cannot wait to tell you about Rome.",
    "I'm afraid of spiders too.",
    "As an AI researcher I do work on that.",
    "You can't do that in Python, but here is another way.",
    "I'm sorry for your loss. Here is a short speech.",
    "I can't stress enough how good this is.",
    "I can't do better than quote her.",
    "I understand, but you can do this in two steps.",
    "No puedo creer lo bonito que es.",
    "Lo siento mucho por tu pérdida. Aquí tienes un discurso.",
    "Je ne peux pas recommander assez ce livre.",
    "Ich kann nicht glauben, wie gut das ist.",
    "对不起的英文是 sorry。",
    "申し訳ありませんは謝る言葉です。",
    "Paris." + " It is a city." * 30 + " I cannot help with that.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_known(text):
    found = run({"use": "refusal"}, table([row("chosen", chosen=text), row("rejected", rejected=text)]))
    assert found.reasons == {"chosen": "chosen_refusal", "rejected": "rejected_refusal"}


@pytest.mark.parametrize("text", ANSWERS)
def test_answers_are_no_refusals(text):
    assert run({"use": "refusal"}, table([row("x", chosen=text, rejected=text)])).reasons == {"x": None}


def test_replies_and_patterns_can_be_chosen():
    refusal = REFUSALS[0]
    pairs = table([row("both", chosen=refusal, rejected=refusal), row("own", rejected="Nope, never.")])
    assert run({"use": "refusal"}, pairs).reasons == {"both": "both_refusal", "own": None}
    asked = {"use": "refusal", "replies": ["rejected"], "patterns": ["nope,"]}
    assert run(asked, pairs).reasons == {"both": "rejected_refusal", "own": "rejected_refusal"}
