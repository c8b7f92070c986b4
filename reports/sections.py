"""Everything below the answer, in the order in which a page and the terminal show it."""

from functools import partial

from depthprobe.reports import captions
from depthprobe.reports.cost_figure import draw_costs
from depthprobe.reports.course_figure import draw_course
from depthprobe.reports.course_tables import holds_table, lines_table, losses_table, range_table, ratios_table
from depthprobe.reports.curve_tables import candidate_table, depth_table
from depthprobe.reports.depth_figure import draw_depth
from depthprobe.reports.exhibit import Exhibit, Section
from depthprobe.reports.holding_figures import draw_places, draw_rates, draw_verified
from depthprobe.reports.loss_figures import draw_losses, draw_range
from depthprobe.reports.numbers import capital, percent, size
from depthprobe.reports.reading import by_budget
from depthprobe.reports.sure_figures import draw_gains, draw_shares
from depthprobe.reports.sure_tables import gains_table, places_table, rates_table, shares_table, verified_table
from depthprobe.reports.training import TrainingView
from depthprobe.reports.unit_figures import draw_ranking, draw_widths
from depthprobe.reports.unit_tables import ranking_table, untrained_table, widths_table
from depthprobe.reports.view import RunView


def sections_of(view: RunView | TrainingView) -> tuple[Section, ...]:
    """Sections of a run; those without data are left out."""
    if isinstance(view, TrainingView):
        return tuple(section for section in [_training(view)] if section.exhibits)
    every = (_curve(view), _costs(view), _units(view), _sure(view), _holding(view), _training(view))
    return tuple(section for section in every if section.exhibits)


def _curve(view: RunView) -> Section:
    curve = view.curve
    shown = Exhibit(
        name="depth",
        caption=captions.depth_caption(view.command, curve, budget=by_budget(view.answer.sentence)),
        tables=(depth_table(curve),),
        draw=partial(draw_depth, curve),
    )
    return Section(title=f"{capital(curve.units.metric)} against {curve.axis.noun}", exhibits=(shown,))


def _costs(view: RunView) -> Section:
    shown = Exhibit(
        name="costs",
        caption=captions.costs_caption(view.curve, view.latency_note),
        tables=(candidate_table(view.curve),),
        draw=partial(draw_costs, view.curve),
        unfolded=True,
    )
    return Section(title="What each candidate costs", exhibits=(shown,))


def _units(view: RunView) -> Section:
    curve, shown, title = view.curve, [], "What is missed without each unit"
    text: tuple[str, ...] = ()
    if view.ranking:
        drawn = partial(draw_ranking, view.ranking, curve) if any(r.loss is not None for r in view.ranking) else None
        table = ranking_table(view.ranking, curve)
        shown.append(Exhibit(name="ranking", caption=captions.RANKING, tables=(table,), draw=drawn, unfolded=True))
    if view.widths:
        title, text = "Every unit's width", _fixed(view)
        tables = (widths_table(view.widths, curve), untrained_table(view.widths, curve))
        draw = partial(draw_widths, view.widths)
        shown.append(Exhibit(name="widths", caption=captions.WIDTHS, tables=tables, draw=draw, unfolded=True))
    return Section(title=title, exhibits=tuple(shown), text=text)


def _fixed(view: RunView) -> tuple[str, ...]:
    """The units that stay as wide as they are."""
    fixed = view.widths.fixed if view.widths else ()
    return (f"As wide as they are: {', '.join(f'{name} ({reason})' for name, reason in fixed)}.",) if fixed else ()


def _sure(view: RunView) -> Section:
    sure, shown = view.certainty, []
    level, noun = percent(sure.confidence), sure.axis.noun
    if sure.shares:
        caption = f"{sure.axis.column} that resamples of seeds and examples name; strong bars are the 95\u00a0% range."
        table, draw = shares_table(sure), partial(draw_shares, sure)
        shown.append(Exhibit(name="shares", caption=caption, tables=(table,), draw=draw, beside=True))
    if sure.gains:
        caption, table = captions.gains_caption(noun, level), gains_table(sure)
        draw = partial(draw_gains, sure)
        shown.append(Exhibit(name="gains", caption=caption, tables=(table,), draw=draw, beside=True))
    return Section(title="How sure", exhibits=tuple(shown), text=_sure_text(view))


def _sure_text(view: RunView) -> tuple[str, ...]:
    sure, text = view.certainty, []
    if sure.range95:
        text.append(f"Resampling seeds and examples names {sure.axis.span(*sure.range95)} in 95\u00a0% of the draws.")
    reach = "so the tolerance is within reach" if sure.resolution <= sure.tolerance else "coarser than the tolerance"
    resolved = size(sure.resolution, sure.units)
    text.append(
        f"The tolerance is {size(sure.tolerance, sure.units)}; these data resolve steps of {resolved}, {reach}."
    )
    return tuple(text)


def _holding(view: RunView) -> Section:
    curve, sure, shown = view.curve, view.certainty, []
    if view.verified:
        table, draw = verified_table(view.verified, sure), partial(draw_verified, view.verified, curve)
        shown.append(Exhibit(name="verified", caption=captions.VERIFIED, tables=(table,), draw=draw))
    if view.rates:
        rates, draw = rates_table(view.rates, curve), partial(draw_rates, view.rates, curve)
        shown.append(Exhibit(name="rates", caption=captions.RATES, tables=(rates,), draw=draw))
    if view.places:
        places, draw = places_table(view.places, sure), partial(draw_places, view.places, curve)
        shown.append(Exhibit(name="places", caption=captions.PLACES, tables=(places,), draw=draw))
    return Section(title="Does it hold?", exhibits=tuple(shown))


def _training(view: RunView | TrainingView) -> Section:
    course, shown = view.course, []
    if course.lines:
        caption = captions.COURSE + captions.HOLDS[course.axis.noun] * bool(course.marks)
        caption += captions.GATES * bool(course.gates)
        holds = (holds_table(course),) if course.marks else ()
        tables = (lines_table(course), *holds, *(ratios_table(course, gates) for gates in course.gates))
        shown.append(Exhibit(name="course", caption=caption, tables=tables, draw=partial(draw_course, course)))
    if any(line.losses for line in course.lines):
        table, draw = losses_table(course), partial(draw_losses, course)
        shown.append(Exhibit(name="loss", caption=captions.LOSS, tables=(table,), draw=draw))
    if view.rate_test:
        caption = f"{captions.RANGE} How it was chosen: {view.rate_test.note or 'not said'}."
        table, draw = range_table(view.rate_test), partial(draw_range, view.rate_test)
        shown.append(Exhibit(name="range", caption=caption, tables=(table,), draw=draw))
    return Section(title="The training itself", exhibits=tuple(shown))
