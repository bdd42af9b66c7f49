"""Sound while it is being sent: decoding, speech, noise."""
