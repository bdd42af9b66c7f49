"""The gallery of faces: who is known, kept encrypted, one gallery a tenant."""
