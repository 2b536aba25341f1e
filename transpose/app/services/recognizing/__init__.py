"""What a file or folder is that somebody wants a localizer of: one recognizer a kind, which says what it saw."""

from transpose.app.services.recognizing.kinds import Recognized
from transpose.app.services.recognizing.recognize import KINDS, recognize

__all__ = ["KINDS", "Recognized", "recognize"]
