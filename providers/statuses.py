"""What an HTTP status says about whether a job was taken, read the same way for every provider."""


def not_taken(status: int) -> bool:
    """Tell whether the server answered for itself that it did not take the request this time.

    408 and 425 say that it was not read; 409 and 429 that it was put off; 500, 501, 503 that the server broke or rests.
    """
    return status in {408, 409, 425, 429} or (500 <= status < 520 and status not in {502, 504})


def may_hide_a_job(status: int) -> bool:
    """Tell whether a gateway answered because it could not read the server's answer: the job may exist.

    502 and 504, and the 52x and above that content networks made up for the same thing.
    """
    return status in {502, 504} or status >= 520 or status < 200


def busy(status: int) -> bool:
    """Tell whether a question (not a submit) is worth asking again: nothing was decided by this answer."""
    return status in {408, 409, 425, 429} or status >= 500 or status < 200
