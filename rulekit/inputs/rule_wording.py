"""Patterns in the English wording of rules: a text comes in, the words that match (or "") go out.

`rule_checks` calls them. Each is a rule of thumb over words; tests hold what each finds and leaves.
"""

from __future__ import annotations

import re

# verbs of rules; as nouns in the plural some of them are none ("names and addresses")
_VERBS = """
    accept accuse acknowledge address admit advise agree allow answer apologise apologize ask assume
    attack avoid blame call check cite claim clarify close comment compare complete conclude confirm
    consider contain contradict correct criticise criticize decline define deny depend describe
    direct disclose discourage discuss distinguish draw encourage end endorse ensure examine exclude
    explain express fabricate flag flatter focus follow forbid give greet guess harm help hide
    identify ignore include inform insult introduce invent invite judge keep lecture let link list
    make mention mock moralise moralize name note offer omit order point praise predict prefer
    present prevent promise promote propose protect prove provide quote reassure recommend refer
    refrain refuse reject remain remind repeat reply report respect respond reveal say scold share
    show speak spread start state stay steer stereotype stick stop structure suggest summarise
    summarize support take tell thank treat try urge use verify warn write
"""
_ALSO_NOUNS = """
    address answer attack blame call check claim close comment complete draw end flag focus follow
    guess harm help insult judge lecture link list name note offer order point praise present
    promise quote refuse reject reply report respect share show start state stay stereotype stop
    structure support take thank treat try use
"""
_BASE = set(_VERBS.split())


def _third(verb: str) -> str:
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return f"{verb}es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}s"


_FOLLOW_A_NOUN = """
    of for in on at from with by about against that which who are is were was have has can may and
    or to between within under over
"""
_AUXILIARY = """
    is are was were has have does do did can could may might must should shall will would cannot
    isn't doesn't don't never
"""
_THIRD = {_third(v) for v in _BASE}
_NOUNS = {*_ALSO_NOUNS.split(), *map(_third, _ALSO_NOUNS.split())}
_AFTER_A_NOUN = {*_FOLLOW_A_NOUN.split(), ""}
_AUXILIARIES = set(_AUXILIARY.split())
_ADVERBS = r"(?:(?:also|then|still|instead|always|either|even|only|[a-z]+ly) )*"
_JOINED = re.compile(
    rf"(?<!\S)(?P<before>\S+?),? (?P<by>and/or|and|or|but) (?P<adverbs>{_ADVERBS})(?P<verb>[a-z']+)(?P<after>(?: [a-z']+)?)"
)
_NOT_BEFORE = re.compile(r"\b(not|never|no|without|n't|refuses? to|avoids?|nor)\b|n't\b", re.I)
_GOVERNED = re.compile(
    r"^(?:the |a |every |each )?(?:\w+ ){0,3}?(should|must|shall|will|has to|needs to) ", re.I
)
_ADJECTIVES = re.compile(
    r"\b(?:is|are|be|stays?|remains?|sounds?|seems?) (?:both |always |[a-z]+ly )*"
    r"(?:[a-z-]+, )*[a-z-]+,? (?:and|but|yet) (?:[a-z]+ly |well )?[a-z-]+(?= ?[.,;!]| ?$| in (?:tone|style|form)| (?:to|towards|with) the user)",
    re.I,
)
_NEW_SUBJECT = re.compile(
    r"(?:,? (?:and|or|but)|;) (?:the|a) (?:response|answer|reply|assistant|model)\b|,? and it (?:is|has|does|must|should|also|never|[a-z]+s)\b",
    re.I,
)
_SENTENCES = re.compile(r"(?<=[a-z0-9)'\"”’]{2})[.!?]\s+(?=[A-Z“\"'(])\S+|;\s+\S+")
_ABBREVIATED = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|dr|mr|mrs|ms|st|no|prof)\.\s*", re.I)


def two_rules(text: str) -> str:
    """Two demands in one rule: two sentences, or two verbs or judgements joined by and, or, but."""
    plain = " ".join(_ABBREVIATED.sub(" ", text).split())
    if found := re.search(r"\band/or\b", plain, re.I):
        return found.group(0)
    for pattern in (_NEW_SUBJECT, _SENTENCES):
        if found := pattern.search(plain):
            return found.group(0).strip()
    return _joined_verbs(plain) or _joined_adjectives(plain)


def _joined_verbs(text: str) -> str:
    lower = text.lower()
    first = re.match(r"[a-z']+", lower)
    governed = _GOVERNED.search(lower)
    start = governed.end() if governed else 0
    bare = governed is not None or (first is not None and first.group(0) in _BASE | {"be"})
    at = 0
    while found := _JOINED.search(lower, at):
        at = found.start("verb")
        verb, after = found["verb"], found["after"].strip()
        said = text[found.start("by") : found.end("verb")]
        before = lower[: found.end("before") + 1].rstrip()
        sure = found["adverbs"] or verb not in _NOUNS or after not in _AFTER_A_NOUN
        if verb in _AUXILIARIES or (verb == "not" and bare) or (verb in _THIRD and sure):
            if not _in_relative_clause(before):
                return said
        elif bare and verb in _BASE and sure:
            before = lower[start : found.start("by")]
            if len(before.split()) > 1 and not _NOT_BEFORE.search(before) and " to " not in before:
                return said
    return ""


def _in_relative_clause(before: str) -> bool:
    """Whether the last clause is about something else than the response: 'a risk that … and …'."""
    last = re.split(r"[,;:]" if before.endswith(",") else r"[;:]", before.rstrip(","))[-1]
    return bool(
        re.search(r"\b(that|which|who|when|where|if|because|unless|how|what|whether|than)\b", last)
    )


def _joined_adjectives(text: str) -> str:
    found = _ADJECTIVES.search(text)
    if not found or _NOT_BEFORE.search(text[: found.end()]):
        return ""
    if _in_relative_clause(text[: found.start()].lower()):
        return ""
    return found.group(0)


_AMOUNT = (  # what a length or a number may be compared with
    r"(?:(?:about |around )?\d|(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|"
    r"fifteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|half|(?:a |one )?(?:hundred|thousand|dozen))\b)"
)
_COMPARISON = re.compile(
    r"\b(?:best|worst|better|worse|superior|inferior|preferable)\b(?! (?:off|known|before|by|case))"
    r"|\bas (?:\w+ ){1,6}as (?:possible|it can|can be|the other|any)\b"
    r"|\b(?:most|least) (?!of\b|one\b)(?:\w+ly )?[a-z]+"
    r"|\b(?:more|less|fewer) (?!than\b|of\b|information\b)(?:[a-z-]+ ){1,2}than\b"
    r"|\b(?!(?:other|rather|whether|either|neither|further|later|earlier|older|younger|higher|lower|longer|"
    r"larger|smaller|greater|fewer)\b)[a-z]{3,}er than\b"
    rf"(?! {_AMOUNT})"
    r"|\b(?:response|answer|reply|it) (?:(?:should|must) be|is|sounds|seems) (?:more|less) (?!than\b)[a-z]+"
    r"|\b(?:clear|fair|few|great|high|kind|low|safe|short|strong|weak|nice|long|smart|wis|simpl|clos|clean|warm"
    r"|polit|soft|hard)e?(?:r|st)\b(?! (?:bound|limit|than (?:a|an|what)\b"
    rf"|than {_AMOUNT}))"
    r"|\bcompared? (?:to|with) (?:the other|another|others|other)\b",
    re.I,
)


def comparison(text: str) -> str:
    """A superlative or comparative, for a judge who sees one response to fail on."""
    plain = re.sub(
        r"\bat (?:most|least|best|worst)\b|\bno (?:more|less|fewer)\b", "", text, flags=re.I
    )
    plain = re.sub(r"\b(?:in most cases|most (?:people|readers|users|of))\b", "", plain, flags=re.I)
    plain = re.sub(r"(?<!the )\bmost [a-z]+s\b", "", plain, flags=re.I)  # of many, nearly all
    found = _COMPARISON.search(plain)
    return found.group(0) if found else ""


_OTHER = re.compile(
    r"\b(?:the )?(?:other|first|second|alternative|competing|rejected|chosen) (?:response|answer|reply|completion)s?\b"
    r"|\b(?:both|two|either|neither|all|between)(?: of)?(?: the)? (?:response|answer|replie|reply|completion)s?\b"
    r"|\b(?:response|answer) (?:A|B|1|2)\b|\bother (?:responses|answers|models|assistants)\b"
    r"|\bthan the other\b",
    re.I,
)


def other_response(text: str) -> str:
    """A reference to a second response."""
    found = _OTHER.search(text)
    return found.group(0) if found else ""


_VAGUE = re.compile(
    r"\b(?:(?:in)?appropriate(?:ly|ness)?|(?:un)?suitabl[ey]|proper(?:ly)?|good(?! faith| reason)|bad(?! news)"
    r"|nice(?:ly)?|(?:un)?helpful(?:ly|ness)?|harmful(?:ly)?|harmless(?:ly)?|unsafe(?:ly)?|(?:un)?reasonabl[ey]"
    r"|(?:in)?adequate(?:ly)?|sufficient(?:ly)?|(?:un)?ethical(?:ly)?|(?:im)?moral(?:ly)?|high[- ]quality|quality"
    r"|(?:un)?acceptabl[ey]|offensive(?:ly)?|problematic(?:ally)?|excessive(?:ly)?|(?:un)?necessary|useful(?:ly)?"
    r"|(?:ir)?responsibl[ey]|toxic(?:ity)?|biased|engaging|sensible|sensibly|satisfactory|desirable|great|perfect(?:ly)?"
    r"|effective(?:ly)?|well[- ]written|user[- ]friendly|overly|too much|too many|safe|safely"
    r"|as needed|if needed|if necessary|where possible|when possible|etc\b\.?|and so on|and the like)\b",
    re.I,
)
_DEFINED = re.compile(
    r"such as|like |for example|e\.g\.|i\.e\.|that is|namely|meaning|which means|including|: | \(|, (?:in )?that ",
    re.I,
)
_SPECIFIC = {  # what makes a vague word a definite one
    "responsible": r"responsible (?:adult|person|body|for)\b|(?:person|body|those) responsible",
    "effective": r"in place of effective|effective (?:treatment|from|date)",
    "safe": r"is safe (?:at|from|now|right)|safe from|safety|safe word|tell\w* (?:the|whether) .* safe",
    "harmless": r"(?:calls?|describes?|presents?) .*harmless",
    "quality": r"(?:air|water|sleep|image) quality|quality of life",
    "necessary": r"necessary and sufficient",
}


def undefined_term(text: str) -> str:
    """A word that people understand differently, where the rule does not say what counts."""
    for found in _VAGUE.finditer(text):
        word = found.group(0)
        if _DEFINED.search(text, found.end()):
            continue
        specific = _SPECIFIC.get(word.lower())
        if specific and re.search(specific, text, re.I):
            continue
        return word
    return ""


_NEGATIVE = re.compile(r"\b(?:not|no|never|cannot|nothing|none|nobody|neither|nor)\b|n't\b", re.I)
_UNDONE = re.compile(
    r"(?:\b(?:not|never|no|cannot)|n't)\b(?: [a-z]+){0,2}? "
    r"(?:fail(?:s|ed|ing)? to|neglect(?:s|ing)? to|forget(?:s|ting)? to|omit(?:s|ting)?|avoid(?:s|ing)?"
    r"|lack(?:s|ing)?|refrain(?:s|ing)? from|leave(?:s)? out|without [a-z]+ing|hesitate(?:s)? to)\b"
    r"|(?:\b(?:not|never)|n't) (?:be |being |[a-z]+ly )?(?:un(?!der|til|less|ique|ion|it|ivers|cle)[a-z]{4,}"
    r"|im(?:possible|polite|proper|moral|practical|precise|personal)|in(?:accurate|correct|complete|sensitive|sincere"
    r"|appropriate|consistent|secure|adequate|considerate|direct)|dis(?:honest|respectful|loyal)|ir(?:relevant|responsible))\b"
    r"|\b(?:avoid|refrain|fail|refuse|decline|neglect|omit)(?:s|ing)?(?: to| from)? (?:[a-z]+ ){0,2}?(?:not|never|no|without)\b",
    re.I,
)


def double_negation(text: str) -> str:
    """Two negations of one thing: 'does not fail to', 'is not unhelpful', 'never … not'."""
    if found := _UNDONE.search(text):
        return found.group(0)
    for clause in re.split(r"[.;:,]|\b(?:and|or|but|nor)\b", text):
        found = list(_NEGATIVE.finditer(clause))
        if len(found) > 1 and not re.search(r"\bno more\b|\bwhether or not\b", clause):
            return clause[found[0].start() : found[1].end()].strip()
    return ""


def question(text: str) -> str:
    """A question in place of a statement."""
    found = re.search(r"\?\s*$", text) or re.match(
        r"(?:is|are|does|do|did|has|have|can|could|should|will|would) (?:the|this|it|a|an|there)\b",
        text,
        re.I,
    )
    return found.group(0) if found else ""


def whole(text: str) -> str:
    """The text with a question mark for every half of a character, which no frame can hold."""
    return text.encode("utf-8", "replace").decode()


def word_count(text: str) -> int:
    """Words, or half the letters of a script that puts no spaces between them."""
    solid = len(re.findall(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]", text))
    return len(text.split()) + solid // 2


def negations(text: str) -> int:
    """How many words negate: not, no, never, without, n't."""
    return len(_NEGATION.findall(text))


def without_negation(text: str) -> str:
    """The text with its negations left out: of a rule and its opposite nearly the same."""
    plain = re.sub(
        r"\b(?:does|do|is|are|should|must|will|can)(?:n't| not)\b ?", "", text, flags=re.I
    )
    return " ".join(_NEGATION.sub(" ", plain).split())


_NEGATION = re.compile(r"\b(?:not|no|never|without|cannot)\b|n't\b", re.I)
