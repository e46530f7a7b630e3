"""Which known network a state dict belongs to, by the names and shapes of its tensors."""

from unskip.recognition.recognise import Recognition, recognise

__all__ = ["Recognition", "recognise"]
