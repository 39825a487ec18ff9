"""What a user would do with the template, with the real tools; support/ has what tests share."""
