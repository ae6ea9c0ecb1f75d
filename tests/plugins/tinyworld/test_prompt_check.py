"""A prompt's unknown words are named before anything loads."""

from worldweave_plugins.tinyworld.check import prompt_problems


def test_a_known_prompt_has_no_problem():
    assert prompt_problems("Two red cars on a street, by day!") == []


def test_an_empty_prompt_has_no_problem():
    assert prompt_problems("") == []


def test_unknown_words_come_in_one_line_with_what_was_probably_meant():
    (line,) = prompt_problems("a purpel zebra on a street")
    assert "'purpel' (did you mean 'purple'?), 'zebra' in the prompt" in line
    assert "it knows: a and arm" in line
