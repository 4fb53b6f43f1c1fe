"""Questions about the method itself, each answered by runs: size, threshold, decoding, gain.

A study's folder holds the runs that it made, so that it goes on where it was stopped, and
`report.json` with what it found.
"""
