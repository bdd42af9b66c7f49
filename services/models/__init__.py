"""The service of models: which versions each replica of the model server holds, and how another one takes over."""
