"""What a module's own graph says of it: whether it is a plain chain of layers, and of which kind it is."""

from typing import Any

from torch import fx, nn

from depthprobe.graph.layer_types import KNOWN_BLOCKS
from depthprobe.graph.purity import plain_attributes

_SUMS = ("add", "add_", "iadd")


def own_graphs(modules: dict[str, nn.Module]) -> dict[str, fx.Graph | None]:
    """The modules' own graphs; modules that are alike in all their plain attributes share one."""
    known: dict[Any, fx.Graph | None] = {}
    found = {}
    for name, module in modules.items():
        alike = type(module), tuple(type(m) for m in module.modules()), tuple(plain_attributes(module).items())
        if alike not in known:
            known[alike] = _graph_of(module)
        found[name] = known[alike]
    return found


def _graph_of(module: nn.Module) -> fx.Graph | None:
    """The module's own graph, where fx can follow it."""
    if isinstance(module, KNOWN_BLOCKS):
        return None
    try:
        return fx.Tracer().trace(module)
    except Exception:  # noqa: BLE001  # whatever a forward may raise when it meets a proxy
        return None


def is_plain_chain(graph: fx.Graph) -> bool:
    """Whether one tensor goes through one operation after another: no fork, no join, sizes that are read apart."""
    numbers: set[fx.Node] = set()
    stream: fx.Node | None = None
    for node in graph.nodes:
        inputs = [n for n in node.all_input_nodes if n not in numbers and n.op != "get_attr"]
        if node.op == "get_attr" or (node.op == "placeholder" and not node.users):
            continue
        if (node.op == "placeholder") != (stream is None):
            return False
        if _reads_size(node) or (node.op != "placeholder" and not inputs):
            numbers.add(node)
        elif node.op == "placeholder" or inputs == [stream]:
            stream = node
        else:
            return False
    return stream is not None


def _reads_size(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in ("size", "dim", "numel", "ndimension")
    return (
        node.op == "call_function" and node.target is getattr and node.args[1] in ("shape", "ndim", "dtype", "device")
    )


def kind_of(module: nn.Module, graph: fx.Graph | None) -> str:
    """The kind of a block: "recurrent", "transformer", "residual" or "block". graph: its own, if it has one."""
    if isinstance(module, nn.RNNBase):
        return "recurrent"
    names = [type(part).__name__.lower() for part in module.modules()]
    if isinstance(module, KNOWN_BLOCKS) or any("attention" in n or n.endswith("attn") for n in names):
        return "transformer"
    sums = () if graph is None else (n for n in graph.nodes if getattr(n.target, "__name__", n.target) in _SUMS)
    return "residual" if any(len(node.all_input_nodes) == 2 for node in sums) else "block"
