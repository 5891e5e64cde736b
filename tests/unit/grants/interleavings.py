"""Every interleaving of callers whose commands a `Server` carries out step by step, with crashes and lost answers.

A caller is a script: a coroutine that does the same again when it is given the same answers. So where it stands is known
from its answers, and it is run once for each sequence of them. A state is the rows, where each caller stands, and what is
still under way on the server; each is looked at once, nearest first, so that a broken promise comes with a shortest trace.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

from pymongo.errors import PyMongoError
from stepped_server import CONNECTION_LOST, NO_ANSWER, Command, Finished, Rows, Server


class Broken(AssertionError):
    """A promise does not hold."""


class Script:
    """A caller: a name, and what it does."""

    def __init__(self, name: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self.name = name
        self.work = work
        self.ends: dict[object, Stand] = {}
        self._run: _Run | None = None
        self.begin = Stand(self, None, None)
        self.begin.go(_Run(self), None)

    def __repr__(self) -> str:
        return self.name


class _Run:
    """A script that is being run; whoever draws something new names it after the script and the how manyeth it is."""

    current: "_Run | None" = None

    def __init__(self, script: Script) -> None:
        self.script = script
        self.coroutine = script.work()
        self.drawn = 0

    def send(self, answer: object) -> Command:
        _Run.current = self
        try:
            command = self.coroutine.send(answer)
        finally:
            _Run.current = None
        assert isinstance(command, Command), f"{self.script} waits for something that is no command"
        return command


def drawn_by_script() -> str:
    """Stands in for what is random: the same name whenever the same script draws at the same place."""
    run = _Run.current
    assert run is not None
    run.drawn += 1
    return f"{run.script.name}#{run.drawn}"


class Stand:
    """Where a script stands: the command that it has sent, or its result."""

    def __init__(self, script: Script, before: "Stand | None", answer: object) -> None:
        self.script = script
        self.before = before
        self.answer = answer
        self.command: Command | None = None
        self.result: Any = None
        self._next: dict[object, Stand] = {}
        self._run: _Run | None = None

    def go(self, run: _Run, answer: object) -> None:
        """Let the run, which stands just before here, go on to here."""
        try:
            self.command = run.send(answer)
            self._run = run
        except StopIteration as end:
            self.result = end.value

    def after(self, answer: object) -> "Stand":
        """Where the script stands once it was given this answer."""
        found = self._next.get(answer)
        if found is None:
            run, self._run = self._run or self._run_again(), None
            found = Stand(self.script, self, answer)
            found.go(run, answer)
            if found.command is None:
                # However it came to its end, it is the same.
                found = self.script.ends.setdefault(found.result, found)
            self._next[answer] = found
        return found

    def _run_again(self) -> _Run:
        answers, stand = [], self
        while stand.before is not None:
            answers.append(stand.answer)
            stand = stand.before
        run = _Run(self.script)
        run.send(None)
        for answer in reversed(answers):
            run.send(answer)
        return run


class Actor(NamedTuple):
    """A script in a state: where it stands, how far its command is, and whether it has died or missed an answer."""

    stand: Stand
    place: object = None
    dead: bool = False
    missed: bool = False

    @property
    def running(self) -> bool:
        return not self.dead and self.stand.command is not None


class State(NamedTuple):
    """Everything that decides what can come next. `facts` are what a model wants to remember of the way."""

    rows: Rows
    actors: tuple[Actor, ...]
    detached: tuple[tuple[Stand, object], ...] = ()
    crashes: int = 0
    losses: int = 0
    facts: frozenset[str] = frozenset()


class Model:
    """What is explored. The methods are for the promises."""

    def facts(self, state: State, command: Command, answer: Any) -> frozenset[str]:
        """What is to be remembered when a command has this answer in this state."""
        return state.facts

    def check(self, state: State) -> None:
        """Must hold in each state."""

    def check_end(self, state: State) -> None:
        """Must hold when everybody is done or dead."""


def explore(model: Model, server: Server, first: State, limit: int = 2_000_000) -> int:
    """Look at every state that can be reached; the number of them.

    Raises:
        Broken: a promise does not hold; the message has the shortest way there.
    """
    way: dict[State, tuple[State, str] | None] = {first: None}
    unexplored = deque([first])
    while unexplored:
        state = unexplored.popleft()
        try:
            model.check(state)
            is_end = True
            for label, after in _choices(model, server, state):
                is_end = False
                if after not in way:
                    way[after] = (state, label)
                    unexplored.append(after)
            if is_end:
                model.check_end(state)
        except Broken as broken:
            raise Broken(f"{broken}\n" + "\n".join(_trace(way, state))) from None
        assert len(way) < limit, "too many states: make the scenario smaller"
    return len(way)


def run_alone(server: Server, rows: Rows, script: Script) -> tuple[Rows, Any]:
    """Run a script while nobody else does anything: the rows after it, and its result."""
    stand, place = script.begin, None
    while stand.command is not None:
        step = server.advance(rows, stand.command, place)
        rows = step.rows
        if isinstance(step, Finished):
            stand, place = stand.after(step.answer), None
        else:
            place = step.place
    return rows, stand.result


def _trace(way: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    lines: list[str] = []
    while (step := way[state]) is not None:
        state, label = step
        lines.append(label)
    return lines[::-1]


def _choices(model: Model, server: Server, state: State) -> Iterator[tuple[str, State]]:
    for number, actor in enumerate(state.actors):
        if actor.running:
            yield _step(model, server, state, number)
            if state.crashes:
                yield from _crashes(state, number)
            if state.losses:
                yield from _losses(state, number)
    for number, (stand, place) in enumerate(state.detached):
        others = state.detached[:number] + state.detached[number + 1 :]
        step = server.advance(state.rows, _command(stand), place)
        if isinstance(step, Finished):
            facts = model.facts(state, _command(stand), step.answer)
            after = state._replace(rows=step.rows, detached=others, facts=facts)
        else:
            after = state._replace(rows=step.rows, detached=(*others, (stand, step.place)))
        yield f"(server) {_told(stand)}", after


def _step(model: Model, server: Server, state: State, number: int) -> tuple[str, State]:
    actor = state.actors[number]
    step = server.advance(state.rows, _command(actor.stand), actor.place)
    if isinstance(step, Finished):
        after = actor._replace(stand=actor.stand.after(step.answer), place=None)
        facts = model.facts(state, _command(actor.stand), step.answer)
        end = f" -> {_shown(step.answer)}" if after.stand.command is not None else f" -> done: {after.stand.result}"
    else:
        after, facts, end = actor._replace(place=step.place), state.facts, " ..."
    return _told(actor.stand) + end, _with(state, number, after)._replace(rows=step.rows, facts=facts)


def _crashes(state: State, number: int) -> Iterator[tuple[str, State]]:
    actor = state.actors[number]
    crashed = _with(state, number, actor._replace(dead=True, place=None))._replace(crashes=state.crashes - 1)
    yield f"{actor.stand.script} dies", crashed
    if actor.place is not None:
        # The server finishes the command; above, it died as well.
        under_way = (*state.detached, (actor.stand, actor.place))
        yield f"{actor.stand.script} dies, its command goes on", crashed._replace(detached=under_way)


def _losses(state: State, number: int) -> Iterator[tuple[str, State]]:
    actor = state.actors[number]
    command = _command(actor.stand)
    for error in (NO_ANSWER, CONNECTION_LOST) if command.many else (NO_ANSWER,):
        after = Actor(actor.stand.after(error), missed=True)
        lost = _with(state, number, after)._replace(losses=state.losses - 1)
        label = f"{_told(actor.stand)}: {error}"
        yield f"{label}; no more of it is done", lost
        # Or it is done later, while its caller does something else already.
        yield f"{label}; it goes on", lost._replace(detached=(*state.detached, (actor.stand, actor.place)))


def _with(state: State, number: int, actor: Actor) -> State:
    return state._replace(actors=(*state.actors[:number], actor, *state.actors[number + 1 :]))


def _command(stand: Stand) -> Command:
    assert stand.command is not None
    return stand.command


def _told(stand: Stand) -> str:
    command = _command(stand)
    return f"{stand.script}: {command}"


def _shown(answer: object) -> str:
    if isinstance(answer, PyMongoError):
        return type(answer).__name__
    if isinstance(answer, tuple) and not hasattr(answer, "_fields"):
        return str([str(each) for each in answer])
    return str(answer)
