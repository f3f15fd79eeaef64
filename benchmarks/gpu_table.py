"""The figures of ``gpu.py`` in short: against what was aimed at, and as tables for the documentation."""

from collections.abc import Iterator
from typing import Any

__all__ = ["markdown", "table"]

AIMS = {8: (2.0, 3.0), 4: (3.5, 5.0), 2: (5.0, 7.0)}
CEILING = 0.6
NETWORKS = {"arxiv": 3.0, "products": 4.0}
EVALUATIONS = 1500


def table(document: dict[str, Any]) -> str:
    """Return lines: each check, and each aim with what was measured."""
    return "\n".join([f"{document['processor']}, {document['date']}", *_lines(document)])


def _lines(document: dict[str, Any]) -> Iterator[str]:
    for name, check in document.get("checks", {}).items():
        said = check["said"][:110].replace("\n", " ") if check["passed"] else "FAILED"
        yield f"{name}: {said} ({check['seconds']:.0f} s)"
    for entry in document.get("aggregate", []):
        if entry["weighted"] and entry["graph"] in ("arxiv", "products") and entry["width"] in (128, 256):
            yield from _aims(entry)
    for entry in document.get("networks", []):
        aim = NETWORKS.get(entry["graph"])
        if aim is not None and entry["hidden"] == 256:
            for label, ratio in entry["ratio"]["best_float32"].items():
                best = entry["ratio"]["best_float"][label]
                met = "met" if ratio >= aim else "MISSED"
                yield (
                    f"network {entry['graph']} 256, {label}: {ratio:.1f}x float32 (aim {aim}: {met}), "
                    f"{best:.1f}x best float"
                )
    for entry in document.get("evaluations", []):
        rate = entry["allocations_per_second"]
        yield f"evaluations of {entry['dataset']} a second: {rate:.0f} (aim {EVALUATIONS})"
    for name, reason in document.get("failed", {}).items():
        yield f"section {name} FAILED: {reason.strip().splitlines()[-1][:200]}"


def _aims(entry: dict[str, Any]) -> Iterator[str]:
    for bits, (over_best, over_cusparse) in AIMS.items():
        shown = []
        for kind in ("sums", "fused"):
            name = f"{kind} {bits}"
            users, cusparse = (entry["ratio"][what][name] for what in ("best_of_users", "cusparse_float32"))
            own = entry["ratio"]["best_float"][name]
            met = "met" if users >= over_best and cusparse >= over_cusparse else "MISSED"
            shown.append(f"{kind} {users:.2f}x/{cusparse:.2f}x ({own:.2f}x own float16) {met}")
        share = entry["of_ceiling"].get(bits, entry["of_ceiling"].get(str(bits)))
        ceiling = "" if share is None else f"; {share:.0%} of the gather ceiling"
        yield (
            f"{entry['graph']} {entry['width']}, {bits} bits (aims {over_best}x/{over_cusparse}x): "
            + ", ".join(shown)
            + ceiling
        )


def markdown(document: dict[str, Any]) -> str:
    """Return the tables of the documentation."""
    lines = [
        "| graph | width | best float of users | 8 bits | 4 bits | 2 bits | 1 bit | own float16 | of the ceiling |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for entry in document["aggregate"]:
        times, best = entry["milliseconds"], entry["best_of_users"]
        ratio, cusparse = entry["ratio"]["best_of_users"], entry["ratio"]["cusparse_float32"]
        cells = [f"{ratio[f'fused {bits}']:.1f}× ({cusparse[f'fused {bits}']:.1f}×)" for bits in (8, 4, 2, 1)]
        own = times.get("our scheduling float16")
        own_cell = "" if own is None else f"{own / times['fused 8']:.1f}×"
        share = entry["of_ceiling"].get(8, entry["of_ceiling"].get("8"))
        width = f"{entry['width']}" + ("" if entry["weighted"] else ", no weights")
        shown = "" if share is None else f"{share:.0%}"
        first = f"| {entry['graph']} | {width} | {times[best] * 1e3:.0f} µs ({best}) | "
        lines.append(first + " | ".join(cells) + f" | {own_cell} | {shown} |")
    lines += [
        "",
        "| GCN on a graph like | hidden | PyG float32 | PyG float16 | 8 bits | 4 bits | 2 bits |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for entry in document["networks"]:
        times = entry["milliseconds"]
        best = {
            dtype: min((value for label, value in times.items() if label.endswith(dtype)), default=float("nan"))
            for dtype in ("float32", "float16")
        }
        cells = [
            f"{times[f'{bits} bits']:.2f} ms, {best['float32'] / times[f'{bits} bits']:.1f}×" for bits in (8, 4, 2)
        ]
        lines.append(
            f"| {entry['graph']} | {entry['hidden']} | {best['float32']:.2f} ms | {best['float16']:.2f} ms | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines)
