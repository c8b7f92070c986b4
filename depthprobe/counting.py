"""A number with its noun, as people say it: one seed is no seeds."""


def number_of(number: int, noun: str, plural: str | None = None) -> str:
    """1 -> "1 seed", 1650 -> "1,650 seeds". plural: where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
