"""The words of the page, for who does not use them every day."""

GLOSSARY = (
    ("N, model size", "How many parameters the model has, all counted."),
    (
        "D_T, target text at hand",
        "How many different tokens there are in the language that the model is for. A recipe may"
        " read a part of them.",
    ),
    ("k, epochs", "How often the target text is read. More than once teaches less each time."),
    ("D, training tokens", "All tokens that are trained on, repeats counted: k·D_T / r."),
    ("r, target ratio", "The share of all training tokens that is in the target language."),
    (
        "r_f, final ratio",
        "That share in the final stage. Where it is above r the target text is kept for the end:"
        " two stages. r_1 is the share before.",
    ),
    ("C, compute", "6·N·D floating-point operations, the usual estimate of what training takes."),
    (
        "regime",
        "Monolingual: target language alone. One stage: both languages, mixed evenly. Two stages:"
        " more of the target language in the final stage.",
    ),
    (
        "loss",
        "Mean negative log likelihood of a token of target text that was held out, in nats. Losses"
        " of different tokenizers or texts cannot be compared.",
    ),
    (
        "interval",
        "Where the figure lies in most draws. Draws are refits with the runs weighted at random;"
        " calibrated ones are as wide as runs that were left out of the fit ask for, and widen"
        " beyond the runs.",
    ),
    (
        "regret",
        "What the recipe is expected to lose against the best recipe, if it were known: the mean"
        " over the draws.",
    ),
    ("held by", "The limits that the recipe is at: with more room there, the loss would fall."),
    (
        "beyond the runs",
        "How many times above or below everything that was run a recipe lies, in the variable that"
        " is named. There the law extrapolates.",
    ),
    (
        "grade",
        "What the runs of a language are worth to the law: good, usable, weak or unusable; the"
        " sentences under what the runs determine say why.",
    ),
    (
        "hold-out",
        "Runs that are left out of the fit and predicted by it, such as the largest models: how a"
        " law is judged.",
    ),
    ("R²", "The share of the variance of the runs' losses that the law explains."),
)
