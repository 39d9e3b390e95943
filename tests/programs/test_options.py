"""What an argument vector means, and what a person is told when it means nothing."""

import pytest

from mether.programs.options import Option, Program, Say, UsageError, help_text, is_text, parse

TALKER = Program(
    "smtp",
    ["[-h helohost] [-nv] targethost sender recipient..."],
    "Sends the message on its standard input.",
    [
        Option("h", "", "say this name in EHLO", value="helohost"),
        Option("n", "", "do not run the queue"),
        Option("v", "verbose", "show the dialogue"),
        Option("q", "", "run the queue, every TIME", value="TIME", attached=True),
        Option("", "sender", "only these senders", value="GLOB", many=True),
        Option("", "format", "how", value="HOW", choices=("text", "json")),
    ],
)
LISTER = Program("smtpq", ["[options] [ID...]"], "Lists.", [Option("v", "", "more")], intermixed=True)


@pytest.mark.parametrize(
    "argv",
    [["-h", "a.test", "host"], ["-ha.test", "host"], ["-nha.test", "host"], ["-nvh", "a.test", "host"]],
)
def test_an_argument_may_be_attached_or_follow(argv):
    parsed = parse(TALKER, argv)
    assert parsed.text("h") == "a.test"
    assert parsed.operands == ["host"]


@pytest.mark.parametrize("argv", [["--format", "json"], ["--format=json"]])
def test_a_long_option_takes_either_form(argv):
    assert parse(TALKER, argv).text("format") == "json"


def test_a_flag_is_known_by_its_long_name():
    assert parse(TALKER, ["-v"]).flag("verbose")
    assert not parse(TALKER, []).flag("verbose")


def test_an_optional_argument_counts_only_when_attached():
    parsed = parse(TALKER, ["-q", "x"])
    assert parsed.text("q") == ""
    assert parsed.operands == ["x"]
    assert parse(TALKER, ["-q15m"]).text("q") == "15m"


def test_options_end_at_the_first_operand_so_that_a_recipient_stays_one():
    parsed = parse(TALKER, ["host", "a@b.test", "-C/tmp/evil@c.test", "--", "-n"])
    assert parsed.operands == ["host", "a@b.test", "-C/tmp/evil@c.test", "--", "-n"]
    assert parsed.text("config") is None


def test_options_may_be_among_the_operands_where_a_program_says_so():
    parsed = parse(LISTER, ["hold", "-v", "X", "--", "-v"])
    assert parsed.flag("v")
    assert parsed.operands == ["hold", "X", "-v"]


def test_a_hyphen_alone_is_an_operand():
    assert parse(LISTER, ["-", "-v"]).operands == ["-"]


def test_an_option_may_be_given_many_times_only_where_it_says_so():
    assert parse(TALKER, ["--sender", "a*", "--sender=b*"]).all("sender") == ["a*", "b*"]
    with pytest.raises(UsageError, match="-h is given twice"):
        parse(TALKER, ["-h", "a", "-h", "b"])


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["-x"], "unknown option -x"),
        (["--spol", "x"], "unknown option --spol (did you mean --spool?)"),
        (["--verb"], "unknown option --verb (did you mean --verbose?)"),
        (["-verbose"], "unknown option -e (did you mean --verbose?)"),
        (["--verbose=1"], "--verbose takes no argument"),
        (["-h"], "-h needs an argument: -h helohost"),
        (["--spool"], "--spool needs an argument: --spool URL"),
        (["--format", "xml"], "--format: 'xml' is not one of text, json"),
    ],
)
def test_a_wrong_argument_is_named_with_its_nearest_spelling(argv, text):
    with pytest.raises(UsageError) as caught:
        parse(TALKER, argv)
    assert str(caught.value) == text


def test_long_names_are_never_abbreviated():
    with pytest.raises(UsageError):
        parse(TALKER, ["--form=json"])


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "1e99", "nan"])
def test_a_number_is_one(text):
    parsed = parse(Program("p", [""], "", [Option("d", "", "days", value="DAYS")]), ["-d", text])
    with pytest.raises(UsageError, match=r"-d: .* is not a whole number of at least 0"):
        parsed.number("d")


def test_help_says_everything_in_eighty_columns():
    with pytest.raises(Say) as caught:
        parse(TALKER, ["--help", "--nonsense"])
    text = str(caught.value)
    assert text == help_text(TALKER)
    assert text.startswith("usage: smtp [-h helohost] [-nv] targethost sender recipient...\n")
    for piece in (
        "-h helohost",
        "-v, --verbose",
        "-q[TIME]",
        "--format HOW",
        "-C, --config FILE",
        "--no-sysexits",
        "75",
    ):
        assert piece in text
    assert max(map(len, text.splitlines())) < 80


def test_the_version_is_told():
    with pytest.raises(Say, match=r"^smtp \(mether\) \d+\.\d+"):
        parse(TALKER, ["--version"])
    with pytest.raises(Say, match=r"^mether \d+\.\d+"):
        parse(Program("mether", ("",), ""), ["--version"])


def test_who_has_no_use_for_a_queue_takes_none():
    sender = Program("smtp", ("",), "", queue=False)
    assert "--spool" not in help_text(sender)
    with pytest.raises(UsageError, match="unknown option --spool"):
        parse(sender, ["--spool", "sqlite:x"])


def test_what_is_in_no_encoding_is_no_text():
    assert is_text("") and is_text("grüße@example.net")
    assert not is_text("gr\udcfc\udcdfe@example.net")
