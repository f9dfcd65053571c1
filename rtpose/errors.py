"""The one error type whose text is meant for the person at the keyboard."""


class RtposeError(Exception):
    """Bad input or a missing part: one clear line that says what is wrong and what to do.

    The command line prints it without a traceback and exits with code 2. Anything else that
    escapes is a bug and keeps its traceback.
    """
