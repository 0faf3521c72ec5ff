"""Music as piano rolls: chorales out of an installed music21, a toy composer of known likelihood, MIDI, sound.

A *roll* is an array of zeros and ones (n_steps, 46): a row for each quarter note of time, a column for each key from C2
(MIDI number 36) to A5 (81), the compass of the chorales. It says what sounds, not what is struck anew: a note held for
two quarters and one repeated look alike.
"""

import importlib.util
import io
import tomllib
import wave
import zipfile
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from .backend import generator
from .checks import check_count, check_unmasked, real_array
from .data import wanted_dataset
from .estimator import warn_caller
from .places import DATA, at_home, shown
from .storage import load, replacing, save

__all__ = [
    "HIGHEST", "LOWEST", "N_KEYS", "Chorale", "Chorales", "ToyComposer", "in_key", "load_chorales",
    "note_name", "organ", "read_midi", "read_score", "roll", "wav", "write_midi",
]  # fmt: skip

LOWEST, HIGHEST = 36, 81  # MIDI numbers: C2, the lowest note of a bass here, and A5, the highest of a soprano
N_KEYS = HIGHEST - LOWEST + 1
MOST_STEPS = 100_000  # a day of music: a few bytes of a MIDI file can claim more than any memory holds
CACHE = DATA / "music" / "chorales.npz"
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}  # semitones above C
MOST_BYTES = 2**24  # of a score, unpacked: the longest of the chorales has 300 kB


class Chorale(NamedTuple):
    """A piece in four parts.

    ``voices`` (n_steps, 4), uint8, has the MIDI numbers of soprano, alto, tenor and bass, 0 where one is silent;
    ``fifths`` is the key signature, from −7 (flats) to 7 (sharps).
    """

    name: str
    voices: np.ndarray
    fifths: int

    @property
    def roll(self):
        """The piece as zeros and ones, float32 (n_steps, 46)."""
        return roll(self.voices)


class Chorales(NamedTuple):
    """Lists of pieces: to learn from, to choose by, to report on, once."""

    train: list
    valid: list
    test: list


def roll(voices):
    """Return the roll, float32 (n_steps, 46), of voices (n_steps, n_voices): MIDI numbers, 0 for silence.

    Raises
    ------
    ValueError
        If a note lies outside the compass, or between two keys, or the voices are no such table.
    """
    check_unmasked("voices", voices)
    voices = np.asarray(voices)
    if voices.ndim != 2:
        raise ValueError(f"voices: expected the shape (n_steps, n_voices), found {voices.shape}")
    outside = voices[~np.isin(voices, (0, *range(LOWEST, HIGHEST + 1)))]
    if len(outside):
        raise ValueError(f"expected notes from {LOWEST} to {HIGHEST}, 0 for silence, found {outside[0]}")
    keys = np.zeros((len(voices), N_KEYS), np.float32)
    steps, parts = np.nonzero(voices)
    keys[steps, voices[steps, parts].astype(int) - LOWEST] = 1
    return keys


def _check_roll(keys):
    """Return a roll as an array, or raise ValueError unless it is of finite numbers, a column for every key."""
    if isinstance(keys, Chorale):
        raise ValueError(f"keys: expected a roll (n_steps, {N_KEYS}), found a Chorale: take its .roll")
    keys = real_array("keys", keys)
    if keys.ndim != 2 or keys.shape[1] != N_KEYS:
        raise ValueError(f"keys: expected a roll of shape (n_steps, {N_KEYS}), the keys from {note_name(LOWEST)} to "
                         f"{note_name(HIGHEST)}, found {keys.shape}")  # fmt: skip
    if not np.isfinite(keys).all():
        raise ValueError("keys: expected finite numbers, found NaN or infinity among them")
    return keys


def note_name(number):
    """Return the name of a MIDI number: 60 is C4, the middle of the keyboard."""
    return "C C♯ D D♯ E F F♯ G G♯ A A♯ B".split()[number % 12] + str(number // 12 - 1)


def in_key(keys, fifths):
    """Fraction of the notes of a roll that belong to the major scale of a key signature (its minor has the same)."""
    scale = (np.array([0, 2, 4, 5, 7, 9, 11]) + 7 * fifths) % 12
    keys, belongs = _check_roll(keys), np.isin((np.arange(N_KEYS) + LOWEST) % 12, scale)
    return float(keys[:, belongs].sum() / max(keys.sum(), 1))


# ------------------------------------------------------------------------------------------------------------- scores


def load_chorales(verbose=True):
    """Return Bach's four-part chorales out of an installed music21, or the toy composer's pieces without it.

    The scores that music21 ships are read once, without importing it, and kept in ``data/music/``. The split by piece
    is listed in ``chorales.toml``: settings that share a melody are together.
    ``COMPANION_DATASET=sample`` takes the toy pieces in any case.

    Returns
    -------
    Chorales

    Raises
    ------
    ValueError
        If ``COMPANION_DATASET`` is another word than ``sample`` or ``full``.
    """
    spec, sample = importlib.util.find_spec("music21"), wanted_dataset() == "sample"
    if sample or not (spec or CACHE.exists()):
        why = "the sample was asked for" if sample else "music21 is not there"
        if verbose:
            print(f"Pieces of the toy composer ({why}).")
        return _toy_pieces()
    if CACHE.exists():
        arrays, facts = _cached()
    else:
        arrays, facts = _fill_cache(Path(spec.submodule_search_locations[0]) / "corpus" / "bach")
    ends = np.cumsum(arrays["lengths"])
    pieces = [
        Chorale(str(name), voices, int(fifths))
        for name, voices, fifths in zip(arrays["names"], np.split(arrays["voices"], ends[:-1]), arrays["fifths"])
    ]
    chorales = _split(pieces)
    if verbose:
        counts = " / ".join(f"{len(part)}" for part in chorales)
        print(f"Bach's chorales from music21 {facts['music21']}: {counts} pieces to train, validate and test.")
    return chorales


def _cached():
    """Return what `_fill_cache` has written, or raise ValueError if it is damaged, or another file."""
    try:
        arrays, facts = load(CACHE)
        names, lengths, fifths, voices = (arrays[name] for name in ("names", "lengths", "fifths", "voices"))
        if not (
            len(names) == len(lengths) == len(fifths)
            and lengths.dtype.kind in "iu"
            and lengths.min() > 0
            and voices.shape == (lengths.sum(), 4)
            and "music21" in facts
        ):
            raise ValueError("not all the chorales")
    except (ValueError, KeyError, TypeError) as reason:
        raise ValueError(f"{shown(CACHE)}: expected the chorales, found {reason}; deleted, it is made anew") from reason
    return arrays, facts


def _fill_cache(folder):
    """Return what the scores in a folder say, and write it down, if that is possible, for the next time."""
    pieces = [piece for path in sorted(folder.glob("*.mxl")) if (piece := read_score(path))]
    if not pieces:
        raise ValueError(f"expected Bach's scores in {folder}, found none: install music21 anew")
    arrays = {
        "names": np.array([piece.name for piece in pieces]),
        "lengths": np.array([len(piece.voices) for piece in pieces]),
        "fifths": np.array([piece.fifths for piece in pieces]),
        "voices": np.concatenate([piece.voices for piece in pieces]),
    }
    facts = {"music21": version("music21")}
    try:
        save(CACHE, arrays, facts)
    except OSError as problem:
        warn_caller(f"{problem}: the scores will be read anew the next time")
    return arrays, facts


def _split(pieces):
    listed = tomllib.loads((Path(__file__).parent / "chorales.toml").read_text(encoding="utf8"))
    names = {part: named.split() for part, named in listed.items()}
    held = {name for part in names.values() for name in part}
    return Chorales(
        [piece for piece in pieces if piece.name not in held],
        *([piece for piece in pieces if piece.name in names[part]] for part in ("valid", "test")),
    )


def read_score(path):
    """Read a chorale from a compressed MusicXML file, by the standard library alone.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Chorale or None
        None if the score has not exactly four parts, or no notes at quarters. Repeats are read once.

    Raises
    ------
    ValueError
        If the file is no compressed MusicXML, or larger than any chorale.
    """
    path = at_home(path)
    try:
        with zipfile.ZipFile(path) as archive:
            member = next(
                (m for m in archive.infolist() if m.filename.endswith("xml") and "META-INF" not in m.filename), None
            )
            if member is None or member.file_size > MOST_BYTES:
                raise ValueError("no score in it, or one that is far too large")
            score = ElementTree.fromstring(archive.read(member))
        parts = score.findall("part")
        if len(parts) != 4:
            return None
        notes = [_read_part(part) for part in parts]
        first = min(map(_upbeat, parts)) % 1
        fifths = int(score.findtext("part/measure/attributes/key/fifths") or 0)
        for start, end, _ in (note for part in notes for note in part):
            if not -1e-6 <= start <= end <= MOST_STEPS:  # nor if one is no number
                raise ValueError(f"a note from quarter {start:,.0f} to {end:,.0f}, expected 0 to {MOST_STEPS:,}")
    except (
        ValueError, ArithmeticError, LookupError, TypeError, AttributeError, EOFError, RuntimeError, zipfile.BadZipFile,
        zlib.error, ElementTree.ParseError,
    ) as reason:  # fmt: skip
        raise ValueError(f"{path}: expected a compressed MusicXML file, found another ({reason!r})") from reason
    if not all(notes):
        return None
    # Quarters are counted from the first bar line: an upbeat of an eighth does not shift the grid.
    n_steps = int(np.ceil(max(end for part in notes for _, end, _ in part) - first - 1e-6))
    voices = np.zeros((n_steps, 4), np.uint8)
    for column, part in enumerate(notes):
        for start, end, number in part:
            rows = slice(*(max(0, int(np.ceil(time - first - 1e-6))) for time in (start, end)))
            voices[rows, column] = number
    sounding = np.flatnonzero(voices.any(axis=1))
    return Chorale(path.stem, voices[sounding[0] : sounding[-1] + 1], fifths) if len(sounding) else None


def _read_part(part):
    """Return the notes (start, end, MIDI number) of a part, in quarters from the beginning of the score."""
    notes, now, quarter = [], 0.0, 1.0
    for element in part.iterfind("measure/*"):
        quarter = float(element.findtext("divisions") or quarter)
        length = float(element.findtext("duration") or 0) / quarter
        if element.tag == "note":
            start = now - length if element.find("chord") is not None else now
            if (pitch := element.find("pitch")) is not None:
                step, octave = STEPS[pitch.findtext("step")], int(pitch.findtext("octave"))
                number = 12 * (octave + 1) + step + int(pitch.findtext("alter") or 0)
                if not 0 <= number < 128:
                    raise ValueError(f"a note {number}, which no keyboard has")
                notes.append((start, start + length, number))
            now = start + length
        elif element.tag in ("backup", "forward"):
            now += length if element.tag == "forward" else -length
    return notes


def _upbeat(part):
    """Quarters before the first bar line."""
    first = part.find("measure")
    quarter = float(first.findtext("attributes/divisions") or 1)
    timed = (item for item in first if item.tag in ("note", "forward") and item.find("chord") is None)
    return sum(float(item.findtext("duration") or 0) for item in timed) / quarter


# --------------------------------------------------------------------------------------------------- the toy composer


class ToyComposer:
    r"""A composer by rule, whose likelihood is known: a Markov chain over the ways to set six chords for four voices.

    In C major. From one quarter to the next the chord changes by `PROGRESSIONS`; among the settings of the new chord
    those are forbidden that move two voices in parallel fifths or octaves, and small steps are preferred:
    :math:`p(s' \mid s) = A_{c(s), c(s')} e^{-\sum |\text{semitones}| / 4} / \text{normaliser}`. A roll shows its
    setting, because voices never cross, so :math:`\log p` of a roll is a sum of table entries.

    Attributes
    ----------
    settings : numpy.ndarray (n_settings, 4)
        MIDI numbers of soprano, alto, tenor and bass.
    first : numpy.ndarray (n_settings,)
        Probabilities of the first setting: any of the tonic.
    transitions : numpy.ndarray (n_settings, n_settings)
    """

    TRIADS = {"I": (0, 4, 7), "ii": (2, 5, 9), "iii": (4, 7, 11), "IV": (5, 9, 0), "V": (7, 11, 2), "vi": (9, 0, 4)}
    PROGRESSIONS = {  # where a chord goes, and how often
        "I": {"I": 1, "ii": 2, "iii": 1, "IV": 3, "V": 3, "vi": 2},
        "ii": {"ii": 1, "V": 5, "IV": 1},
        "iii": {"vi": 3, "IV": 2},
        "IV": {"IV": 1, "V": 4, "I": 2, "ii": 2},
        "V": {"V": 1, "I": 6, "vi": 2},
        "vi": {"vi": 1, "ii": 3, "IV": 3, "V": 2},
    }
    RANGES = ((60, 79), (55, 72), (50, 67), (41, 59))  # of soprano, alto, tenor and bass

    def __init__(self):
        named = [(name, setting) for name, triad in self.TRIADS.items() for setting in self._ways(triad)]
        names, self.settings = [name for name, _ in named], np.array([setting for _, setting in named])
        moves = np.exp(-np.abs(self.settings[:, None] - self.settings[None]).sum(axis=2) / 4)
        moves[self._parallels()] = 0
        # Of the settings of a chord one is chosen by its weight, of the chords one by the progressions.
        same = np.array([[a == b for b in names] for a in names], float)
        totals = moves @ same
        wanted = np.array([[self.PROGRESSIONS[name].get(other, 0) for other in names] for name in names], float)
        moves = np.divide(moves * wanted, totals, out=np.zeros_like(moves), where=totals > 0)
        self.transitions = moves / moves.sum(axis=1, keepdims=True)
        tonic = np.array([name == "I" for name in names], float)
        self.first = tonic / tonic.sum()
        self._number = {frozenset(setting.tolist()): i for i, setting in enumerate(self.settings)}

    def _ways(self, triad):
        """Yield the settings of a triad: root in the bass and once more above, no voice crosses, none is far off."""
        keys = [[n for n in range(low, high + 1) if n % 12 in triad] for low, high in self.RANGES]
        for bass in (n for n in keys[3] if n % 12 == triad[0]):
            for tenor in (n for n in keys[2] if n > bass):
                for alto in (n for n in keys[1] if 0 < n - tenor <= 12):
                    for soprano in (n for n in keys[0] if 0 < n - alto <= 12):
                        if sorted(n % 12 for n in (soprano, alto, tenor)) == sorted(triad):
                            yield soprano, alto, tenor, bass

    def _parallels(self):
        """Where (n_settings, n_settings) two voices move in parallel fifths or octaves."""
        found = np.zeros((len(self.settings),) * 2, bool)
        moved = self.settings[:, None] != self.settings[None]
        for upper in range(4):
            for lower in range(upper + 1, 4):
                interval = (self.settings[:, upper] - self.settings[:, lower]) % 12
                perfect = (interval[:, None] == interval[None]) & np.isin(interval, (0, 7))[:, None]
                found |= perfect & moved[:, :, upper] & moved[:, :, lower]
        return found

    def compose(self, n_steps, random_state=None):
        """Return voices, uint8 (n_steps, 4); ValueError for less than a step."""
        n_steps = check_count("n_steps", n_steps)
        rng = generator(random_state)
        states = [rng.choice(len(self.first), p=self.first)]
        for _ in range(n_steps - 1):
            states.append(rng.choice(len(self.first), p=self.transitions[states[-1]]))
        return self.settings[states].astype(np.uint8)

    def log_likelihood(self, keys):
        """Log-probability of a roll (n_steps, 46), in nats; minus infinity for one that breaks a rule.

        Raises ValueError for what is no such roll, or has no step.
        """
        if not len(keys := _check_roll(keys)):
            raise ValueError("keys: expected a roll of at least a step, found an empty one")
        chords = [frozenset((np.flatnonzero(row) + LOWEST).tolist()) for row in keys]
        states = [self._number.get(chord) for chord in chords]
        if None in states:
            return -np.inf
        with np.errstate(divide="ignore"):
            return float(np.log(self.first[states[0]]) + np.log(self.transitions[states[:-1], states[1:]]).sum())


def _toy_pieces():
    """Return `Chorales` of the toy composer, always the same."""
    composer, rng = ToyComposer(), generator(0)
    return Chorales(*(
        [Chorale(f"toy {part} {i}", composer.compose(32, rng), 0) for i in range(n)]
        for part, n in zip(Chorales._fields, (60, 15, 15))
    ))  # fmt: skip


# ------------------------------------------------------------------------------------------------------ MIDI and sound


def write_midi(path, keys, tempo=80):
    """Write a roll (n_steps, 46) to a MIDI file; a note that goes on is held.

    Parameters
    ----------
    path : path-like
    keys : array (n_steps, 46)
    tempo : float
        Quarters a minute.

    Raises
    ------
    ImportError
        If mido is not installed.
    OSError
        If it cannot be written; a file that was there is as it was.
    ValueError
        If the roll has other keys, or a quarter would last longer than 16 seconds or less than a microsecond.
    """
    keys, mido = _check_roll(keys), _mido()
    if not 60 / 16 <= tempo <= 60e6:  # a file counts microseconds, in three bytes
        raise ValueError(f"tempo: expected quarters a minute, {60 / 16} to 60 million, found {tempo}")
    track, now, last = mido.MidiTrack(), 0, 0
    track.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo)))
    track.append(mido.Message("program_change", program=19))  # a church organ
    file = mido.MidiFile(ticks_per_beat=480, tracks=[track])
    padded = np.pad(keys > 0.5, ((1, 1), (0, 0))).astype(int)
    for change in np.diff(padded, axis=0):
        for kind, sign in (("note_off", -1), ("note_on", 1)):
            for key in np.flatnonzero(change == sign):
                track.append(mido.Message(kind, note=int(key) + LOWEST, velocity=64, time=now - last))
                last = now
        now += 480
    with replacing(path) as temporary:
        file.save(temporary)


def read_midi(path):
    """Read a MIDI file as a roll, float32 (n_steps, 46): what sounds at every quarter. Drums are left out.

    Every track ends its own notes only, because voices may share a channel.

    The roll goes from the first note to the last: rests at both ends are left out too.

    Raises
    ------
    ImportError
        If mido is not installed.
    ValueError
        If the file is no MIDI file, or one of format 2 or with times in seconds; if it has no notes that sound at a
        quarter, some outside the compass, or is longer than `MOST_STEPS` quarters.
    """
    mido = _mido()
    try:
        file = mido.MidiFile(path := at_home(path))
    except FileNotFoundError:
        raise
    except Exception as reason:  # of mido's there are as many kinds as ways in which a file can be none
        raise ValueError(f"{path}: expected a MIDI file, found another ({reason or type(reason).__name__})") from reason
    if file.type == 2:
        raise ValueError(f"{path}: expected tracks that sound together, found a MIDI file of format 2")
    quarter = file.ticks_per_beat
    if quarter < 1:  # below 0 they count fractions of a second
        raise ValueError(f"{path}: expected a MIDI file with times in quarters, found {quarter} ticks for one")
    notes, begun, latest = [], {}, 0
    for number, track in enumerate(file.tracks):
        now = 0
        for message in track:
            now += message.time
            if message.type in ("note_on", "note_off") and message.channel != 9:
                key = number, message.channel, message.note  # voices may share a channel
                if key in begun:
                    notes.append((begun.pop(key), now, message.note))
                if message.type == "note_on" and message.velocity:
                    begun[key] = now
        latest = max(latest, now)
    # Those that nobody ends, end with the piece.
    notes += [(start, latest, note) for (*_, note), start in begun.items()]
    if not notes:
        raise ValueError(f"{path}: expected notes, found none")
    first, end = min(start for start, *_ in notes) // quarter, max(end for _, end, _ in notes)
    n_steps = -(-end // quarter) - first
    if n_steps > MOST_STEPS:
        raise ValueError(f"{path}: expected a piece of at most {MOST_STEPS:,} quarters, found {n_steps:,}")
    keys = np.zeros((n_steps, N_KEYS), np.float32)
    for start, end, number in notes:
        if not LOWEST <= number <= HIGHEST:
            raise ValueError(f"{path}: expected notes from {LOWEST} to {HIGHEST}, found {number}")
        keys[-(-start // quarter) - first : -(-end // quarter) - first, number - LOWEST] = 1
    if not keys.any():
        raise ValueError(f"{path}: expected notes that sound at a quarter, found shorter ones between them only")
    sounding = np.flatnonzero(keys.any(axis=1))
    return keys[sounding[0] : sounding[-1] + 1]


def _mido():
    try:
        import mido
    except ImportError as reason:
        raise ImportError("MIDI files need the package mido: pip install mido") from reason
    return mido


HARMONICS = (1.0, 0.5, 0.3, 0.2, 0.08, 0.05)  # how loud the 1st, 2nd, … is: a soft organ
FADE = 0.04  # seconds in which a note comes and goes
RATE = 11_025  # samples a second


def organ(keys, tempo=80, rate=RATE):
    """Play a roll on a soft organ: a few harmonics of every key, added up.

    Parameters
    ----------
    keys : array (n_steps, 46)
        A note that goes on is held; values between 0 and 1 sound softer.
    tempo : float
        Quarters a minute.
    rate : int
        Samples a second.

    Returns
    -------
    numpy.ndarray (n_samples,), float32
        Pressure, between −1 and 1.

    Raises
    ------
    ValueError
        If the roll has other keys, no steps or numbers that are not finite, or a step no samples.
    """
    keys = _check_roll(keys).astype(np.float32)
    if not keys.size:
        raise ValueError("keys: expected a roll of at least a step, found an empty one")
    step = int(rate * 60 / tempo) if tempo > 0 else 0
    if step < 1:
        raise ValueError(f"expected a tempo above 0, and samples in every quarter, found tempo={tempo}, rate={rate}")
    time = np.arange(step * len(keys)) / rate
    fade = np.hanning(max(3, int(FADE * rate)) | 1).astype(np.float32)
    sound = np.zeros(len(time), np.float32)
    for key in np.flatnonzero(keys.any(axis=0)):
        loudness = np.convolve(np.repeat(keys[:, key], step), fade / fade.sum(), "same")
        frequency = 440 * 2 ** ((key + LOWEST - 69) / 12)
        tone = np.zeros(len(time))
        for k, loud in enumerate(HARMONICS, 1):
            if frequency * k < rate / 2:
                tone += loud * np.sin(2 * np.pi * frequency * k * time)
        sound += loudness * tone.astype(np.float32)
    return sound / max(1e-9, np.abs(sound).max())


def wav(sound, rate=RATE):
    """Return the bytes of a WAV file, 16 bits, one channel, of the sound (n_samples,) between −1 and 1.

    `rate` is how many of them are a second: that of `organ`.
    """
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((32_000 * np.clip(sound, -1, 1)).astype("<i2").tobytes())
    return buffer.getvalue()
