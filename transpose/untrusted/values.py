"""What Python and NumPy raise where something in a file is not what it should be."""

BAD_VALUES = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""Of a number too large for its type, a list where a text should be, a name that is missing, brackets nested deeply."""


def is_of_the_file(error: BaseException) -> bool:
    """Whether what a library raised says that a file is broken; a panic in Rust, which is no `Exception`, does too."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
