"""Sentences that more than one page must say."""

NOT_THE_PAPERS = (
    "The equation of arXiv:2410.12325v2 was not available. m3 is a law with the paper's variables,"
    " limits and reported structure whose exact form was chosen by measurement; it is not the"
    " paper's equation."
)
