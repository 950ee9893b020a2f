"""What a server can be asked, whichever protocol carried the question: messages in, messages out."""
