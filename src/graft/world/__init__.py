"""The little world: stories in English about amounts, dates, places, people and facts.

Everything the embedded language model reads, is taught with and is asked about is written
here, from a seed. Names, numbers and sentence shapes each fall into two halves that never
meet: those that are `read` while growing and those that are `held` out for the questions.
"""
