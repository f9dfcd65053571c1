"""The one error type whose text is meant for the person at the keyboard, and others in a line."""


class RtposeError(Exception):
    """Bad input or a missing part: one clear line that says what is wrong and what to do.

    The command line prints it without a traceback and exits with code 2. Anything else that
    escapes is a bug and keeps its traceback.
    """


def first_line(error: BaseException) -> str:
    """The first line of what a library's error says, or its type's name if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
