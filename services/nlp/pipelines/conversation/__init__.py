"""Replies and answers: free, from passages, or prepared."""
