"""Pictures that strangers sent: opened, rendered for models, and covered in places."""
