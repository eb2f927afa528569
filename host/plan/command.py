# SPDX-License-Identifier: Apache-2.0
"""The sub-commands of `python -m host.plan`."""

import typer

from host.runs import command as shared

from .chain_command import chain
from .knob_command import knob
from .speedup_command import speedup
from .tree_command import tree

HELP = """Plan block drafts: token trees, chains as a block, their modelled speed-up, and bytes of psi against drafts.

\b
Examples
  python -m host.plan tree
  python -m host.plan tree --rule optimal --nodes 16,32,64 --depths 2,3,4,8,none --plot tree.png
  python -m host.plan tree --acceptances 0.72,0.9,0.96,0.98 --nodes 32 --json tree.json
  python -m host.plan tree --simulate 20000
  python -m host.plan speedup --target-ms 30 --node-ms 0.2 --baud 3000000 --psi-bytes 336
  python -m host.plan chain --corpus book.txt --tau 1.5
  python -m host.plan knob --pgen zipf --alpha 1.1 --acceptance 0.95

\b
Exit status
    0  done
    1  a simulation (tree --simulate) does not give what was predicted
    2  bad input, or a result that cannot be written
  130  interrupted
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, help=HELP)
app.command(help="Trees of most expected tokens per target call, a table and their shapes.")(tree)
app.command(help="What a chain of drafts gives on a text, as a block and token by token.")(chain)
app.command(help="Modelled speed-up over decoding without drafts, in every part and assumption.")(speedup)
app.command(help="The smallest psi that reaches a wanted acceptance, for each number of drafts.")(knob)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. See `host.runs.command.main`."""
    return shared.main(app, "host.plan", arguments)
