"""Ways of talking beside the page and the terminal: Telegram."""
