"""Tools: functions from one line of text to one line of text.

A tool with no answer raises `ToolError`, and the model may read why. Any other exception is a
bug in the tool and stops the run with the call and the text named.
"""
