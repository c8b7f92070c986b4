"""Colours of the figures (Okabe and Ito's colour-blind-safe set), by day and by night."""

BLUE, ORANGE, GREEN, PINK, GOLD, SKY = "#0072b2", "#d55e00", "#009e73", "#b8568f", "#b07d00", "#3a9bd6"
GOOD = "#00704f"  # green that can be read as text
INK, MUTED, FAINT, EMPTY, PAPER = "#1f2733", "#5b6675", "#dfe4ea", "#eef2f6", "#fefefe"
SEEDS = (BLUE, ORANGE, GREEN, PINK, GOLD, SKY)
DASHES = ("solid", "dash", "dot")

NIGHT = {
    BLUE: "#5cb3ea",
    ORANGE: "#f08c4a",
    GREEN: "#3fc79b",
    GOOD: "#5ed6ae",
    PINK: "#e39bc6",
    GOLD: "#e8b84a",
    SKY: "#a9dcf7",
    INK: "#e6eaf0",
    MUTED: "#9aa6b5",
    FAINT: "#2b333f",
    EMPTY: "#1f2630",
    PAPER: "#161b22",
}


def seed_colour(rank: int) -> str:
    """Colour of a seed by its rank among the seeds."""
    return SEEDS[rank % len(SEEDS)]


def wash(colour: str, alpha: float) -> str:
    """A transparent colour: "rgba(0,114,178,0.15)"."""
    return f"{_prefix(colour)}{alpha:g})"


def night_map() -> dict[str, str]:
    """What the page replaces in a figure when the reader's screen is dark."""
    washes = {_prefix(day): _prefix(night) for day, night in NIGHT.items()}
    return {**NIGHT, **washes}


def _prefix(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},"
