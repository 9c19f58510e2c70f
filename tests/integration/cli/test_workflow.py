"""``aioqueue workflow``: the tree as people and programs read it, and its exit codes."""

from __future__ import annotations

import json

from aioqueue import Chain, Group, Server, Signature, chord
from tests.integration.cli.conftest import APP, Shell

SUMS = [Signature[int](name="sum", args=[[n, n]], takes="none") for n in range(3)]


async def sent(shell: Shell, workflow: Signature, *, timeout: float | None = None) -> str:
    """Send a workflow from here, wait for it if that is said, and return its id."""
    async with Server(shell.url) as server:
        result = await server.send(workflow)
        if timeout is not None:
            await server.stores.backend.wait(f"{result.id}.0", timeout=timeout)
        return result.id


async def test_tree_has_the_parts_as_they_were_written_down(shell: Shell) -> None:
    id = await sent(shell, chord(Group(members=SUMS), Signature(name="sum", queue="late")))

    done = await shell.run("workflow", id, "--app", APP)

    assert done.code == 0
    assert done.out.splitlines() == [
        f"workflow {id} PENDING (4 PENDING)",
        "└── chord",
        "    ├── group",
        *[f"    │   {'├' if n < 2 else '└'}── sum[{id}.{n}] PENDING" for n in range(3)],
        f"    └── sum[{id}.3] PENDING",
    ]


async def test_group_of_many_is_cut_unless_all_is_asked_for(shell: Shell) -> None:
    id = await sent(shell, Group(members=SUMS * 10))

    cut = await shell.run("workflow", id, "--app", APP)
    whole = await shell.run("workflow", id, "--app", APP, "--all")

    assert cut.out.count("sum[") == 20
    assert "… 10 more; --all shows them" in cut.out
    assert whole.out.count("sum[") == 30


async def test_programs_read_states_attempts_and_times(shell: Shell) -> None:
    async with shell.start("worker", APP) as worker:
        await worker.line("is ready")
        failing = Chain(steps=[Signature(name="fail", args=["no luck"], takes="none"), Signature(name="sum")])
        id = await sent(shell, failing, timeout=20)
        done = await shell.run("workflow", id, "--app", APP, "--json")

    tree = json.loads(done.out)
    first, second = tree["parts"][0]["parts"]
    assert done.code == 1
    assert (tree["state"], tree["counts"]) == ("FAILURE", {"FAILURE": 2})
    assert (first["kind"], first["task"]["attempt"], first["task"]["error"]["message"]) == (
        "task",
        1,
        "no luck",
    )
    assert first["task"]["finished_at"] >= first["task"]["started_at"]
    assert (second["id"], second["parts"]) == (f"{id}.1", [])


async def test_unknown_workflow_is_not_found(shell: Shell) -> None:
    await shell.empty()
    done = await shell.run("workflow", "nothing", "--app", APP)

    assert (done.code, done.out) == (4, "")
    assert "there is no workflow 'nothing'" in done.err


async def test_help_has_an_example(shell: Shell) -> None:
    done = await shell.run("workflow", "--help")

    assert "Example: aioqueue workflow" in done.out
