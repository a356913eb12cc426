"""Telegram: long polling in, messages with edits out. The Bot API's wire format stays in here."""
