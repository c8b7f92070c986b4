"""Ground truth: every depth trained from scratch and grown, and what cheaper ways of asking answer."""
