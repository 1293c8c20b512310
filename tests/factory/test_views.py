"""Views of a prompt."""

from factory.views import view_messages

USER = {"role": "user", "content": "Hello"}


def test_without_a_principle_the_prompt_stays_as_it_is():
    assert view_messages([USER], None) == [USER]


def test_a_principle_goes_before_the_turns():
    turns = [USER, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Why?"}]
    assert view_messages(turns, "Be kind.") == [{"role": "system", "content": "Be kind."}, *turns]


def test_the_prompts_own_system_message_is_kept_above_the_principle():
    own = {"role": "system", "content": "You are a cook."}
    assert view_messages([own, USER], "Be kind.") == [
        {"role": "system", "content": "You are a cook.\n\nBe kind."},
        USER,
    ]
    assert own["content"] == "You are a cook."
