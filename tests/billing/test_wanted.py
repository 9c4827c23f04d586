from billing.wanted import UNREAD, Wanted


def test_a_request_that_says_nothing_is_answered_once_from_what_is_in_its_body() -> None:
    said = Wanted()
    assert (said.answers, said.elsewhere, said.tools) == (1, (), ())
    assert (said.max_tokens, said.max_completion_tokens, said.max_output_tokens) == (None, None, None)


def test_of_what_is_not_read_neither_answers_nor_input_are_known() -> None:
    assert UNREAD.answers == 0
    assert UNREAD.elsewhere == ("a body that is not read",)
