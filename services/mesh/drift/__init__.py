"""Whether what models see and say has drifted from what they saw and said before; off the path of answers."""
