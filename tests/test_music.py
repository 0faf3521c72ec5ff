"""Rolls, scores, MIDI and sound; and the toy composer, whose likelihood is known."""

import importlib.util
import io
import sys
import wave
import zipfile
from itertools import combinations, product
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest

from companion import music
from companion.music import (
    HIGHEST,
    LOWEST,
    N_KEYS,
    ToyComposer,
    in_key,
    load_chorales,
    note_name,
    organ,
    read_midi,
    read_score,
    roll,
    write_midi,
)  # fmt: skip
from companion.rnnrbm import RNNRBM
from companion.storage import load, save

needs_music21 = pytest.mark.skipif(importlib.util.find_spec("music21") is None, reason="music21 is not installed")

needs_mido = pytest.mark.skipif(importlib.util.find_spec("mido") is None, reason="mido is not installed")


@pytest.fixture(scope="module")
def composer():
    return ToyComposer()


def note(step, octave, duration, more=""):
    return (
        f"<note>{more}<pitch><step>{step}</step><octave>{octave}</octave></pitch><duration>{duration}</duration></note>"
    )


def score(path, parts, name="score.musicxml"):
    """Write a compressed MusicXML file of these parts, each a text of measures."""
    text = "".join(f"<part id='P{i}'>{measures}</part>" for i, measures in enumerate(parts))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/container.xml", "<container/>")
        archive.writestr(name, f"<score-partwise>{text}</score-partwise>")
    return path


# ------------------------------------------------------------------------------------------------------------- rolls


def test_a_roll_has_ones_where_voices_sound():
    keys = roll([[72, 67, 60, 48], [0, 67, 67, 0], [HIGHEST, 0, 0, LOWEST]])
    assert keys.shape == (3, N_KEYS) and keys.dtype == np.float32
    assert [list(np.flatnonzero(row) + LOWEST) for row in keys] == [[48, 60, 67, 72], [67], [LOWEST, HIGHEST]]


@pytest.mark.parametrize("number", [35, 82, 1])
def test_a_note_outside_the_compass_is_named(number):
    with pytest.raises(ValueError, match=f"expected notes from 36 to 81, 0 for silence, found {number}"):
        roll([[60, number]])


def test_names_of_notes():
    assert [note_name(n) for n in (36, 60, 61, 69, 81)] == ["C2", "C4", "C♯4", "A4", "A5"]


def test_notes_in_key():
    c_major = roll([[60, 62, 64, 65, 67, 69, 71]])
    assert (
        in_key(c_major, 0) == 1
        and in_key(c_major, 1) == pytest.approx(6 / 7)
        and in_key(c_major, -2) == pytest.approx(5 / 7)
    )
    assert in_key(roll([[61, 63, 66, 68, 70]]), 0) == 0


# ------------------------------------------------------------------------------------------------------------ scores


def test_a_score_is_read_quarter_by_quarter(tmp_path):
    """Divisions, chords, rests, forward and backup, accidentals, ties by their sounding, and an upbeat of an eighth."""
    divisions = "<attributes><divisions>2</divisions><key><fifths>-3</fifths></key></attributes>"
    rest = "<note><rest/><duration>1</duration></note>"
    bass = "<note><pitch><step>B</step><alter>-1</alter><octave>2</octave></pitch><duration>4</duration></note>"
    first = f"<measure>{divisions}{rest}</measure>"
    parts = [
        f"<measure>{divisions}{note('C', 5, 1)}</measure>"
        f"<measure>{note('D', 5, 2)}{note('E', 5, 1)}{note('F', 5, 1)}</measure>",
        f"{first}<measure>{note('G', 4, 4)}</measure>",
        f"{first}<measure><forward><duration>2</duration></forward>{note('C', 4, 2)}</measure>",
        f"{first}<measure>{bass}<backup><duration>2</duration></backup>{note('A', 2, 2)}</measure>",
    ]
    piece = read_score(score(tmp_path / "bwv0.mxl", parts))
    assert piece.name == "bwv0" and piece.fifths == -3
    np.testing.assert_array_equal(piece.voices, [[74, 67, 0, 46], [76, 67, 60, 45]])
    assert piece.roll.sum() == 7


def test_the_last_quarter_of_a_score_may_be_short(tmp_path):
    """What sounds at a quarter is in the roll, also if the piece ends before the next one."""
    divisions = "<attributes><divisions>2</divisions></attributes>"
    bars = f"<measure>{divisions}{note('D', 4, 1)}</measure><measure>{note('E', 4, 2)}{note('A', 4, 1)}</measure>"
    piece = read_score(score(tmp_path / "bwv0.mxl", 4 * [bars]))
    np.testing.assert_array_equal(piece.voices[:, 0], [64, 69])


def test_a_score_of_other_than_four_parts_is_none(tmp_path):
    measure = f"<measure>{note('C', 4, 1)}</measure>"
    assert read_score(score(tmp_path / "three.mxl", [measure] * 3)) is None
    assert read_score(score(tmp_path / "silent.mxl", [measure] * 3 + ["<measure/>"])) is None
    assert read_score(score(tmp_path / "four.mxl", [measure] * 4)) is not None


def test_what_is_no_score_is_refused(tmp_path):
    (tmp_path / "text.mxl").write_text("no archive")
    score(tmp_path / "empty.mxl", [], name="readme.txt")
    with zipfile.ZipFile(tmp_path / "broken.mxl", "w") as archive:
        archive.writestr("a.xml", "<score-partwise>")
    with zipfile.ZipFile(tmp_path / "bomb.mxl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.xml", b" " * (music.MOST_BYTES + 1))
    for name in ("text", "empty", "broken", "bomb"):
        with pytest.raises(ValueError, match=f"{name}.mxl: expected a compressed MusicXML file"):
            read_score(tmp_path / f"{name}.mxl")


@pytest.mark.parametrize("measures", [
    note("C", 4, 10**13), note("C", 30, 4), note("H", 4, 4), note("C", 4, 4).replace("<step>C</step>", ""),
    note("C", 4, 4).replace("</pitch>", "<alter>0.5</alter></pitch>"), note("C", 4, "nan"), note("C", 4, "long"),
    note("C", 4, 4) + note("D", 4, "nan"), "<backup><duration>inf</duration></backup>" + note("C", 4, 4),
    "<backup><duration>9</duration></backup>" + note("C", 4, 4), "</measure></part><part id='P5'>",
    "<attributes><divisions>0</divisions></attributes>" + note("C", 4, 4),
])  # fmt: skip
def test_a_score_that_cannot_be_is_named(tmp_path, measures):
    path = score(tmp_path / "odd.mxl", [f"<measure>{measures}</measure>"] * 4)
    with pytest.raises(ValueError, match="odd.mxl: expected a compressed MusicXML file"):
        read_score(path)


def test_lengths_that_do_not_quite_add_up_are_forgiven(tmp_path):
    """Six sixths of a quarter, and a quarter back, are a rounding before the beginning."""
    sixths = "<attributes><divisions>6</divisions></attributes>" + 6 * note("C", 4, 1)
    back = "<backup><duration>6</duration></backup>" + note("C", 4, 6)
    found = read_score(score(tmp_path / "sixths.mxl", [f"<measure>{sixths}{back}</measure>"] * 4))
    np.testing.assert_array_equal(found.voices, [[60] * 4])


def test_an_odd_score_of_three_parts_is_none_as_well(tmp_path):
    odd = note("C", 4, 4).replace("</pitch>", "<alter>0.5</alter></pitch>")
    assert read_score(score(tmp_path / "odd.mxl", [f"<measure>{odd}</measure>"] * 3)) is None


def test_a_score_of_shorter_notes_only_is_none(tmp_path):
    """Nothing sounds at a quarter."""
    beats = "<attributes><divisions>4</divisions></attributes><forward><duration>1</duration></forward>"
    assert read_score(score(tmp_path / "short.mxl", [f"<measure>{beats}{note('C', 4, 1)}</measure>"] * 4)) is None


def test_a_word_that_asks_for_no_data_set_is_refused(monkeypatch):
    monkeypatch.setenv("COMPANION_DATASET", "Sample")
    with pytest.raises(ValueError, match="COMPANION_DATASET is 'Sample'; expected 'sample' or 'full'"):
        load_chorales()


def test_without_music21_the_toy_composer_steps_in(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(music, "CACHE", tmp_path / "none.npz")
    monkeypatch.delenv("COMPANION_DATASET", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    chorales = load_chorales()
    assert "music21 is not there" in capsys.readouterr().out
    assert [len(part) for part in chorales] == [60, 15, 15]
    for piece, again in zip(chorales.train, load_chorales(verbose=False).train):
        np.testing.assert_array_equal(piece.voices, again.voices)


def test_the_chorales_are_read_once_and_split_as_listed(monkeypatch, tmp_path):
    """Four scores made here stand for those of music21, one of them listed for the test set."""
    folder = tmp_path / "music21" / "corpus" / "bach"
    folder.mkdir(parents=True)
    measure = f"<measure>{note('C', 4, 1)}{note('D', 4, 1)}</measure>"
    for name in ("bwv7.7", "bwv2.6", "bwv1000", "bwv62.6"):
        score(folder / f"{name}.mxl", [measure] * 4)
    score(folder / "bwv1001.mxl", [measure])

    class Spec:
        submodule_search_locations = [str(tmp_path / "music21")]

    monkeypatch.setattr(music, "CACHE", tmp_path / "cache.npz")
    monkeypatch.setattr(music, "version", lambda name: "0")
    monkeypatch.setenv("COMPANION_DATASET", "full")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: Spec)
    with monkeypatch.context() as nowhere:  # to write to
        nowhere.setattr(music, "CACHE", tmp_path / "music21" / "cache.npz" / "cache.npz")
        (tmp_path / "music21" / "cache.npz").touch()
        with pytest.warns(UserWarning, match="cache.npz.*: the scores will be read anew the next time"):
            assert len(load_chorales().test) == 1
    first = load_chorales()
    assert [[piece.name for piece in part] for part in first] == [["bwv1000"], ["bwv2.6"], ["bwv7.7"]]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # the cache is enough
    np.testing.assert_array_equal(load_chorales().test[0].voices, first.test[0].voices)
    arrays, facts = load(music.CACHE)
    for wrong in (
        ({"voices": arrays["voices"]}, facts),
        (arrays | {"voices": arrays["voices"][1:]}, facts),
        (arrays | {"names": arrays["names"][1:]}, facts),
        (arrays | {"lengths": arrays["lengths"].astype(float)}, facts),
        (arrays | {"names": arrays["names"][0]}, facts),
        (arrays, {}),
    ):
        save(music.CACHE, *wrong)
        with pytest.raises(ValueError, match="cache.npz: expected the chorales, found .*; deleted, it is made anew"):
            load_chorales()


@needs_music21
def test_bach_is_split_by_piece_and_melodies_stay_together(monkeypatch):
    monkeypatch.setenv("COMPANION_DATASET", "full")
    chorales = load_chorales()
    assert [len(part) for part in chorales] == [235, 63, 62]
    for part, other in combinations(chorales, 2):
        for count in openings, turns:
            assert not set().union(*map(count, part)) & set().union(*map(count, other))


def openings(piece):
    """How the melody begins: any seven of its first eight steps, quarter by quarter, with and without an upbeat."""
    steps = [np.diff(piece.voices[upbeat : upbeat + 9, 0].astype(int)) for upbeat in (0, 1)]
    return {(k, *np.delete(eight, k)) for eight in steps for k in range(8)}


def turns(piece):
    """All twelve moves in a row of the melody, without held and repeated notes and rests."""
    notes = piece.voices[:, 0].astype(int)
    moves = np.diff(notes[notes > 0])
    moves = moves[moves != 0]
    return set(map(tuple, np.lib.stride_tricks.sliding_window_view(moves, 12)))


# --------------------------------------------------------------------------------------------------- the toy composer


def test_the_toy_composer_keeps_its_rules(composer):
    np.testing.assert_allclose(composer.transitions.sum(axis=1), 1)
    assert composer.first.sum() == pytest.approx(1)
    settings = composer.settings
    assert (np.diff(settings, axis=1) < 0).all(), "no voice crosses"
    voices = composer.compose(2000, 0).astype(int)
    for upper, lower in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        interval = (voices[:, upper] - voices[:, lower]) % 12
        moved = (voices[1:, [upper, lower]] != voices[:-1, [upper, lower]]).all(axis=1)
        for perfect in (0, 7):
            assert not (moved & (interval[1:] == perfect) & (interval[:-1] == perfect)).any(), "parallels"
    assert in_key(roll(voices), 0) == 1
    # Within a chord the settings are as probable as small steps are preferred.
    distance = np.abs(settings[:, None] - settings[None]).sum(axis=2)
    chords = np.array([frozenset(setting % 12) for setting in settings])
    at = int(np.argmax(composer.transitions.sum(axis=1)))
    to = np.flatnonzero((composer.transitions[at] > 0) & (chords == chords[at]))
    np.testing.assert_allclose(np.diff(np.log(composer.transitions[at, to])), -np.diff(distance[at, to]) / 4)
    assert len(to) > 2


def test_the_likelihood_of_the_toy_composer_is_that_of_its_pieces(composer):
    """All pieces of three chords add up to one; long pieces come near the entropy rate of the chain."""
    n, total = len(composer.settings), 0.0
    starts = np.flatnonzero(composer.first)
    for first, second, third in product(starts[:2], range(n), range(n)):
        voices = composer.settings[[first, second, third]]
        total += np.exp(composer.log_likelihood(roll(voices)))
    assert total == pytest.approx(2 / len(starts))
    P = composer.transitions
    stationary = np.linalg.matrix_power(P, 1000)[0]
    logs = np.log(P, out=np.zeros_like(P), where=P > 0)
    rate = float(-(stationary[:, None] * P * logs).sum())
    pieces = [-composer.log_likelihood(roll(composer.compose(400, seed))) / 400 for seed in range(10)]
    assert np.mean(pieces) == pytest.approx(rate, abs=4 * np.std(pieces) / np.sqrt(10))


def test_what_breaks_a_rule_has_no_probability(composer):
    assert composer.log_likelihood(roll([[60, 61, 62, 63]])) == -np.inf
    voices = composer.settings[[0, 0]]
    assert np.isfinite(composer.log_likelihood(roll(voices)))
    keys = roll(composer.compose(8, 0))
    assert composer.log_likelihood(keys[:, ::-1]) == -np.inf
    assert composer.log_likelihood(pd.DataFrame(keys)) == composer.log_likelihood(keys) > -np.inf
    for wrong in (keys[:0], keys[0], keys[:, :9]):
        with pytest.raises(ValueError, match="keys: expected a roll"):
            composer.log_likelihood(wrong)
    with pytest.raises(ValueError, match="n_steps: expected a whole number"):
        composer.compose(0)


# ------------------------------------------------------------------------------------------------------ MIDI and sound


@needs_mido
def test_midi_there_and_back(tmp_path, composer):
    keys = roll(composer.compose(12, 3))
    write_midi(tmp_path / "piece.mid", keys)
    np.testing.assert_array_equal(read_midi(tmp_path / "piece.mid"), keys)


@needs_mido
def test_midi_that_is_none_or_silent_is_named(tmp_path):
    (tmp_path / "text.mid").write_text("no midi")
    write_midi(tmp_path / "silence.mid", np.zeros((3, N_KEYS)))
    with pytest.raises(ValueError, match="text.mid: expected a MIDI file"):
        read_midi(tmp_path / "text.mid")
    with pytest.raises(ValueError, match="silence.mid: expected notes, found none"):
        read_midi(tmp_path / "silence.mid")
    with pytest.raises(FileNotFoundError):
        read_midi(tmp_path / "nowhere.mid")


def test_a_midi_file_is_replaced_whole_or_not_at_all(monkeypatch, tmp_path):
    class Full(MagicMock):
        def save(self, path):
            Path(path).write_bytes(b"MThd")
            raise OSError(28, "No space left on device")

    path = tmp_path / "piece.mid"
    path.write_bytes(b"what was there")
    monkeypatch.setitem(sys.modules, "mido", MagicMock(MidiFile=Full))
    with pytest.raises(OSError, match="No space left"):
        write_midi(path, np.zeros((1, N_KEYS)))
    assert path.read_bytes() == b"what was there" and [file.name for file in tmp_path.iterdir()] == ["piece.mid"]


def test_midi_without_mido_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(ImportError, match="pip install mido"):
        write_midi(tmp_path / "piece.mid", np.zeros((1, N_KEYS)))


@pytest.mark.parametrize("keys", [np.zeros((3, 88)), np.zeros((3, 128)), np.zeros(N_KEYS)])
def test_rolls_of_other_keys_are_refused(tmp_path, keys):
    """A piano's 88, or all 128 of MIDI, would sound at other heights."""
    for ask in (organ, lambda keys: in_key(keys, 0), lambda keys: write_midi(tmp_path / "piece.mid", keys)):
        with pytest.raises(ValueError, match=r"shape \(n_steps, 46\), the keys from .* to .*, found"):
            ask(keys)
    with pytest.raises(ValueError, match=r"voices: expected the shape \(n_steps, n_voices\), found \(2,\)"):
        roll([60, 62])
    with pytest.raises(ValueError, match="voices: expected an array without a mask"):
        roll(np.ma.masked_equal([[60, 0], [60, 64]], 64))


@needs_mido
def test_a_roll_of_midi_begins_and_ends_with_notes(tmp_path):
    import mido

    file, track = mido.MidiFile(ticks_per_beat=480), mido.MidiTrack()
    for tick, number in ((240, 60), (480, 62), (480, 64)):  # the last one ends before the next quarter
        track.append(mido.Message("note_on", note=number, velocity=64, time=tick if number == 60 else 0))
        track.append(mido.Message("note_off", note=number, velocity=0, time=480 if number != 64 else 100))
    file.tracks.append(track)
    file.save(tmp_path / "piece.mid")
    keys = read_midi(tmp_path / "piece.mid")
    assert keys.any(axis=1).all()
    np.testing.assert_array_equal(keys.argmax(axis=1) + LOWEST, [60, 62])


@needs_mido
def test_midi_that_sounds_at_no_quarter_or_has_no_key_is_named(tmp_path):
    import mido

    notes = [mido.Message("note_on", note=60, time=10), mido.Message("note_off", note=60, time=400)]
    path = tmp_path / "odd.mid"
    mido.MidiFile(ticks_per_beat=480, tracks=[mido.MidiTrack(notes)]).save(path)
    with pytest.raises(ValueError, match="odd.mid: expected notes that sound at a quarter"):
        read_midi(path)
    key = mido.MetaMessage("key_signature", key="C")
    mido.MidiFile(ticks_per_beat=480, tracks=[mido.MidiTrack([key, *notes])]).save(path)
    path.write_bytes(path.read_bytes().replace(b"\xff\x59\x02\x00\x00", b"\xff\x59\x02\x0a\x00"))
    with pytest.raises(ValueError, match="odd.mid: expected a MIDI file, found another"):
        read_midi(path)


@needs_mido
@pytest.mark.parametrize("tempo", [0, 3, np.nan, np.inf, -80, 1e9])
def test_a_tempo_that_no_file_can_say_is_refused(tmp_path, tempo):
    with pytest.raises(ValueError, match="tempo: expected quarters a minute, 3.75 to"):
        write_midi(tmp_path / "piece.mid", np.zeros((1, N_KEYS)), tempo)


@needs_mido
def test_midi_notes_that_nobody_ends_end_with_the_piece(tmp_path):
    import mido

    notes = [mido.Message("note_on", note=60, time=0), mido.Message("note_on", note=64, time=480)]
    track = mido.MidiTrack([*notes, mido.Message("note_off", note=64, time=480)])
    file = mido.MidiFile(ticks_per_beat=480, tracks=[track])
    file.save(tmp_path / "held.mid")
    np.testing.assert_array_equal(read_midi(tmp_path / "held.mid"), roll([[60, 0], [60, 64]]))
    file.ticks_per_beat = 0
    file.save(tmp_path / "timeless.mid")
    with pytest.raises(ValueError, match="timeless.mid: expected a MIDI file with times in quarters, found 0 ticks"):
        read_midi(tmp_path / "timeless.mid")


@needs_mido
def test_midi_voices_of_one_channel_end_their_own_notes_only(tmp_path):
    """Each voice a track: where one leaves a note as the other comes to it, or while the other holds it, it sounds."""
    import mido

    def voice(*notes):
        kinds, track, now = ("note_on", "note_off"), mido.MidiTrack(), 0
        for at, kind, number in sorted((at, kind, number) for number, *ends in notes for at, kind in zip(ends, kinds)):
            track.append(mido.Message(kind, note=number, velocity=64, time=480 * (at - now)))
            now = at
        return track

    soprano, alto = voice((64, 0, 1), (60, 1, 3)), voice((60, 0, 1), (55, 1, 3))
    file = mido.MidiFile(ticks_per_beat=480, tracks=[soprano, alto])
    file.save(tmp_path / "voices.mid")
    np.testing.assert_array_equal(read_midi(tmp_path / "voices.mid"), roll([[64, 60], [60, 55], [60, 55]]))
    mido.MidiFile(ticks_per_beat=480, tracks=[voice((60, 0, 3)), voice((60, 1, 2))]).save(tmp_path / "held.mid")
    np.testing.assert_array_equal(read_midi(tmp_path / "held.mid"), roll([[60]] * 3))
    file.type = 2
    file.save(tmp_path / "pieces.mid")
    with pytest.raises(ValueError, match="pieces.mid: expected tracks that sound together, found .* format 2"):
        read_midi(tmp_path / "pieces.mid")


def test_a_sound_is_written_at_the_rate_it_was_made_for():
    with wave.open(io.BytesIO(music.wav(organ(roll([[69]] * 4), tempo=60, rate=8000), rate=8000))) as file:
        assert file.getnframes() / file.getframerate() == 4
    assert not organ(roll([[69]]), rate=200).any(), "no harmonic that so few samples can hold: silence"


def test_the_organ_plays_the_right_notes():
    """The strongest frequencies of a held fifth are its two fundamentals; silence is silent; nothing clips."""
    sound = organ(roll([[69, 62]] * 4), tempo=60, rate=8000)
    assert sound.shape == (32_000,) and sound.dtype == np.float32 and np.abs(sound).max() == pytest.approx(1)
    spectrum = np.abs(np.fft.rfft(sound[4000:28_000] * np.hanning(24_000)))
    peaks = np.argsort(spectrum)[::-1]
    frequencies = sorted({round(float(peak) / 3) for peak in peaks[:4]})
    assert {294, 440} <= set(frequencies)
    high = np.abs(np.fft.rfft(organ(roll([[79]] * 4), tempo=60, rate=3000)[1500:10_500] * np.hanning(9000)))
    assert high[:2000].max() < 0.01 * high.max(), "overtones of 784 Hz that 3,000 samples a second cannot hold"
    sound = organ(roll([[69], [0]]), tempo=60, rate=8000)
    assert np.abs(sound[8400:]).max() < 1e-3 < np.abs(sound[2000:7000]).max()


@pytest.mark.parametrize(
    ("keys", "options"),
    [(np.zeros((0, 46)), {}), (np.full((2, 46), np.nan), {}), (np.ones((2, 46)), {"tempo": 0}),
     (np.ones((2, 46)), {"tempo": -60}), (np.ones((2, 46)), {"tempo": 1e9}), (np.ones((2, 46)), {"rate": 0})],
)  # fmt: skip
def test_what_cannot_sound_is_refused(keys, options):
    with pytest.raises(ValueError, match="keys: expected|expected a tempo above 0"):
        organ(keys, **options)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_roll_is_of_finite_numbers(tmp_path, odd):
    keys = np.full((2, N_KEYS), odd)
    for ask in (organ, lambda keys: in_key(keys, 0), lambda keys: write_midi(tmp_path / "piece.mid", keys)):
        with pytest.raises(ValueError, match="keys: expected finite numbers, found NaN or infinity"):
            ask(keys)


def test_a_chorale_is_no_roll():
    piece = music.Chorale("a", np.full((2, 4), 60), 0)
    for take in (organ, lambda keys: in_key(keys, 0), lambda keys: RNNRBM().fit([keys])):
        with pytest.raises(ValueError, match=r"found a Chorale: take its \.roll"):
            take(piece)


def test_a_sharp_belongs_to_the_keys_with_sharps():
    """Up a fifth and down a fifth from C major as many notes are lost: those that are won tell them apart."""
    assert (in_key(roll([[66]]), 1), in_key(roll([[66]]), -1), in_key(roll([[70]]), -1)) == (1, 0, 1)
    assert in_key(np.zeros((2, N_KEYS)), 0) == 0


def test_an_upbeat_of_two_voices_is_no_longer_than_one(tmp_path):
    """They are written one after the other, and sound together."""
    divisions = "<attributes><divisions>2</divisions></attributes>"
    back, bar = "<backup><duration>1</duration></backup>", f"<measure>{note('D', 5, 2)}</measure>"
    first = f"<measure>{divisions}{note('C', 5, 1)}</measure>{bar}"
    both = f"<measure>{divisions}{note('C', 5, 1)}{back}{note('C', 4, 1)}</measure>{bar}"
    np.testing.assert_array_equal(read_score(score(tmp_path / "a.mxl", [both, *3 * [first]])).voices, [[74] * 4])


def test_a_score_begins_where_it_sounds(tmp_path):
    rest = "<measure><note><rest/><duration>3</duration></note></measure>"
    found = read_score(score(tmp_path / "a.mxl", 4 * [f"{rest}<measure>{note('C', 4, 1)}</measure>"]))
    np.testing.assert_array_equal(found.voices, [[60] * 4])


def test_a_score_that_is_far_too_large_is_not_read(monkeypatch, tmp_path):
    path = score(tmp_path / "a.mxl", 4 * [f"<measure>{note('C', 4, 1)}</measure>"])
    monkeypatch.setattr(music, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match="far too large"):
        read_score(path)


@pytest.mark.parametrize("wrong", [{"lengths": np.array([0, 2])}, {"fifths": np.zeros(1, int)}])
def test_kept_scores_have_steps_and_a_key(monkeypatch, tmp_path, wrong):
    monkeypatch.setattr(music, "CACHE", tmp_path / "cache.npz")
    monkeypatch.setenv("COMPANION_DATASET", "full")
    arrays = {"names": np.array(["a", "b"]), "lengths": np.ones(2, int), "fifths": np.zeros(2, int)}
    save(music.CACHE, arrays | {"voices": np.full((2, 4), 60, np.uint8)} | wrong, {"music21": "0"})
    with pytest.raises(ValueError, match="not all the chorales"):
        load_chorales()


def test_a_wav_file_holds_the_sound_and_no_louder_one_than_it_can():
    with wave.open(io.BytesIO(music.wav(np.array([0, 0.5, 1, 7, -7])))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, music.RATE)
        assert np.frombuffer(file.readframes(5), "<i2").tolist() == [0, 16_000, 32_000, 32_000, -32_000]
