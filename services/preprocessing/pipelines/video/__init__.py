"""Frames of videos that strangers sent, decoded while their files arrive."""
