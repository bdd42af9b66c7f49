"""Preprocessing: text, pictures and recordings to what models take. It opens the bytes that strangers sent."""
