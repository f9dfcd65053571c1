"""`rtpose doctor`: one page about this machine."""

from __future__ import annotations

import typer

from rtpose.commands.terminal import console


def doctor() -> None:
    """Say what rtpose finds on this machine; put this page into a bug report.

    Exit code 0 means that the main job can run.
    """
    with console.status("looking around", spinner="line"):
        from rtpose.doctor import examine

        findings = examine()
    width = max(len(finding.topic) for finding in findings)
    for finding in findings:
        mark = "FAULT " if finding.fault else ""
        typer.echo(f"{finding.topic:{width}}  {mark}{finding.text}")
    faults = sum(finding.fault for finding in findings)
    if faults:
        typer.echo(f"the main job cannot run: {faults} fault{'s' if faults > 1 else ''}")
        raise typer.Exit(1)
    typer.echo("the main job can run")
