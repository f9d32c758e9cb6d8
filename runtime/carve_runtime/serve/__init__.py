"""``carve-run serve``: in come OpenAI's chat requests over HTTP, out go answers.

The one room that needs the extra ``serve``; nothing but the command imports it.
"""
