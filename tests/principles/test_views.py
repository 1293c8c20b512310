"""Views: the system message goes on top, a prompt's own stays above it, turns are kept, inputs are not changed."""

from principles.views import Views, view_messages, views

USER = {"role": "user", "content": "Why is the sky blue?"}
OWN = {"role": "system", "content": "You are a pirate."}


def test_plain_view_is_the_prompt_in_new_dicts():
    prompt = [USER]
    made = view_messages(prompt)
    assert made == prompt
    assert made[0] is not USER


def test_the_system_message_is_put_first():
    assert view_messages([USER], "Be kind.") == [{"role": "system", "content": "Be kind."}, USER]


def test_a_prompts_own_system_message_stays_above_in_one_turn():
    made = view_messages([OWN, USER], "Be kind.")
    assert made == [{"role": "system", "content": "You are a pirate.\n\nBe kind."}, USER]
    assert OWN["content"] == "You are a pirate."


def test_a_blank_system_message_is_replaced():
    assert view_messages([{"role": "system", "content": " \n"}, USER], "Be kind.")[0]["content"] == "Be kind."


def test_turns_are_kept_in_order():
    turns = [USER, {"role": "assistant", "content": "Rayleigh."}, {"role": "user", "content": "Who?"}]
    assert view_messages(turns, "Be kind.")[1:] == turns


def test_views_are_named_and_absent_where_a_system_message_is_absent():
    assert views([USER], None, None) == Views(plain=[USER], good=None, bad=None)
    made = views([USER], "G", "B")
    assert made.good is not None
    assert made.bad is not None
    assert (made.good[0]["content"], made.bad[0]["content"]) == ("G", "B")
