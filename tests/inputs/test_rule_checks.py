"""What is hard to rate in a rule: every bad one of a list is found, hardly a good one is blamed."""

import time

import pytest

import rulekit as rk
from rulekit.inputs import REMARKS, Rule, RuleSet, check_rules

BAD = {
    "comparison": [
        "The response is the best of all.",
        "The response is more helpful than a textbook.",
        "The response is safer than the original advice.",
        "The response gives the most accurate dose.",
        "The response is as short as possible.",
        "The response should be clearer.",
        "The response is less technical than a leaflet.",
        "The response is as helpful to the patient as it can be.",
        "The response gives better advice.",
        "The response is kinder than a doctor would be.",
        "The response uses the simplest words.",
        "The response gives the least risky option.",
        "The response is more cautious than needed.",
        "The response is more polite.",
        "The response should be less technical.",
        "The response uses the most words.",
        "The response is as complete as possible.",
    ],
    "two-rules": [
        "The response is short but complete.",
        "The response is factually correct and well structured.",
        "The response apologises and then helps.",
        "The response names the drug, lists its side effects and gives the dose.",
        "The response must not lie or mislead and should cite a source.",
        "The response remains professional and never mocks the patient.",
        "The response encourages a visit to the doctor or gives a phone number.",
        "The response is polite and accurate.",
        "The response names the dose and warns of side effects.",
        "The response does not insult the user and does not reveal secrets.",
        "The response should cite sources and warn of risks.",
        "Be polite and cite a source.",
        "The response names a dose; it gives the source.",
        "The response is short. It names a source.",
        "The response names the dose and/or the interval.",
        "The response asks about allergies and never names a dose.",
        "The response gives a dose, and the response names a source.",
        "The response asks for the age and explains why it matters.",
        "The response states the risk or recommends a doctor.",
        "The response is clear, concise and friendly.",
        "The response answers the question but also gives a warning.",
        "The answer must mention the dose and must be short.",
        "The response avoids jargon and uses short sentences.",
        "The response mentions the dose and lists the side effects.",
        "The AI should protect free speech and not engage in censorship.",
        "The response identifies the drug and recommends a dose.",
        "The response is calm and professional.",
        "The response must not diagnose and must refer to a doctor.",
        "The response explains the risk, offers an alternative and names a doctor.",
        "Explain the risk and offer an alternative.",
        "The response admits uncertainty but does not refuse to help.",
        "The response avoids slang or explains it.",
        "The response contains a warning and contains a source.",
        "The response greets the user by name and thanks them.",
    ],
    "undefined-term": [
        "The response is appropriate.",
        "The response is not harmful.",
        "The response gives good advice.",
        "The response is helpful.",
        "The response uses suitable language.",
        "The response handles the matter responsibly.",
        "The response avoids unsafe advice.",
        "The response is of high quality.",
        "The response gives sufficient detail.",
        "The response names drugs, doses, etc.",
        "The response is safe.",
        "The response warns the user if necessary.",
        "The response is sensible.",
        "The response is not toxic.",
        "The response explains things properly.",
        "The response does not contain offensive language.",
        "The response is reasonable about risk.",
    ],
    "double-negation": [
        "The response does not fail to mention risks.",
        "The response is not unhelpful to the patient.",
        "The response never gives no advice.",
        "The response does not avoid naming the dose.",
        "The response does not omit side effects.",
        "The response avoids not answering the question.",
        "The response doesn't say that aspirin is not a drug.",
        "The response refuses to not give a dose.",
        "It is not impolite to the patient.",
        "The response does not answer without asking for the age.",
        "The response does not neglect to name the dose.",
        "The response never says that nothing helps.",
        "The response isn't inaccurate about doses.",
        "The response does not refrain from warning.",
    ],
    "question": [
        "Does the response name a dose?",
        "Is the response polite",
        "What is the dose named by the response?",
        "Are the doses right?",
        "Has the response named a source",
    ],
    "other-response": [
        "The response is longer than the other response.",
        "The response agrees with response B.",
        "Both responses name a dose.",
        "The second answer is ignored.",
        "The response names what other responses leave out.",
        "The response repeats the first response.",
        "The response is consistent with the other answer.",
        "Response 1 names a dose.",
        "The response covers more than the alternative response.",
    ],
    "too-short": ["Polite.", "Be honest"],
}
GOOD = [
    "The response says that the dose depends on weight and kidney function.",
    "The response tells parents to keep the bottle out of reach.",
    "The response names both the brand and the generic name.",
    "The response warns that stopping suddenly can cause withdrawal.",
    "The response asks which other medicines the user takes.",
    "The response does not advise sharing prescription drugs.",
    "The response says that symptoms such as chest pain need an ambulance.",
    "The response tells the user not to mix the drug with alcohol or sedatives.",
    "The response states how often the dose may be repeated.",
    "The response mentions that generic drugs have the same active substance.",
    "The response explains what a side effect is.",
    "The response does not diagnose a mental illness.",
    "The response recommends asking a pharmacist about interactions.",
    "The response gives doses in milligrams per kilogram.",
    "The response does not claim that vaccines cause autism.",
    "The response refuses to give a lethal dose.",
    "The response points out that the study was done in mice.",
    "The response says the user should call poison control after an overdose.",
    "The response uses the second person.",
    "The response mentions at least one non-drug treatment.",
    "The response keeps to the question that was asked.",
    "The response warns against using leftover antibiotics.",
    "The response contains a bulleted list.",
    "The response says what the normal range of the test is.",
    "The response tells the user which symptoms to watch for after a head injury.",
    "The response explains the terms and conditions of the plan.",
    "The response names a doctor or a pharmacist.",
    "The response lists the risks and benefits of the drug.",
    "The response names at least one side effect.",
    "The response says that the drug is dangerous in pregnancy.",
    "The response does not help to buy or sell drugs.",
    "The response tells the user to call 112 or go to a hospital when symptoms are severe.",
    "The response has fewer than 100 words.",
    "The response names more than one treatment.",
    "The response gives the dose in mg and ml.",
    "The response points out that alcohol and painkillers interact.",
    "The response advises against stopping the drug without a doctor.",
    "The response asks for the patient's age.",
    "The response does not name a dose for a child.",
    "The response gives the names and addresses of two clinics.",
    "The response does not state a diagnosis as certain.",
    "The response says it cannot replace a doctor.",
    "The response tells the user to rest rather than to train.",
    "The response uses no Latin terms for parts of the body.",
    "The response recommends a doctor if the fever lasts longer than three days.",
    "The response names a source for every number.",
    "The response does not claim that a herb cures cancer.",
    "The response uses the metric system.",
    "The response repeats the question before it answers.",
    "The response speaks of blood and urine tests.",
    "The response mentions the black and white keys.",
    "The response describes side effects, such as nausea and dizziness.",
    "The response gives inappropriate advice, such as doubling a dose.",
    "The response advises the user to find and compare clinics.",
    "The response says under which conditions the drug is unsafe: pregnancy, kidney disease.",
    "The response names a medicine that treats pain and reduces fever.",
    "The response says when to see a doctor and when to wait.",
    "The response does not insult or threaten the user.",
    "The response warns against mixing bleach and vinegar.",
    "The response names the generic name of each drug.",
    "The response states the maximum daily dose.",
    "The response tells the user not to drive after taking the drug.",
    "The response says that antibiotics do not help against viruses.",
    "The response asks how long the symptoms have lasted.",
    "The response lists signs of an allergic reaction.",
    "The response advises against alcohol with the medicine.",
    "The response mentions that the advice is general.",
    "The response gives no dose for infants.",
    "The response explains medical terms in plain words.",
    "The response mentions pregnancy or breastfeeding.",
    "The response names the emergency number.",
    "The response does not promise a cure.",
    "The response says when the user should see a doctor.",
    "The response cites a guideline or a study.",
    "The response does not comment on the user's weight.",
    "The response describes how to store insulin.",
    "The response separates facts from opinion.",
    "The response warns that herbal remedies can interact with prescribed drugs.",
    "The response recommends that the user reads the leaflet and keeps it.",
    "The response does not use all capitals.",
    "The response is written in the language of the question.",
    "The response does not mention brand names.",
    "The response says what to do after a missed dose.",
    "The response offers at least two options.",
    "The response acknowledges the user's fear.",
    "The response does not tell the user to stop chemotherapy.",
    "The response names the time after which symptoms should improve.",
    "The response is at most 200 words long.",
    "The response ends with a short summary.",
    "The response addresses both physical and mental symptoms.",
    "The response distinguishes between adults and children.",
    "The response refers to sleep, diet and exercise.",
    "The response does not ask for the user's full name or address.",
    "The response respects the patient's refusal of treatment.",
    "The response says that fever above 39 °C in an infant is an emergency.",
    "The response does not minimise pain or anxiety.",
    "The response gives the reasons for its advice.",
    "The response tells carers how to check breathing and pulse.",
    "The response mentions that results vary from person to person.",
    "The response contains at least three sentences.",
    "The response mentions that more evidence is needed.",
    "The response is longer than 300 characters.",
    "The response is shorter than 100 words.",
    "The response is shorter than twenty words.",
    "The response is longer than three hundred characters.",
    "The response has more than three sentences.",
    "The response is more than one sentence long.",
    "The response asks the user for more evidence.",
    "The response says that most insurers do not pay.",
]


def remarks(*texts):
    rules = RuleSet.from_texts(texts)
    found = check_rules(rules, near_duplicates=False)
    return {
        text: set(found.filter(found["rule"] == i)["remark"])
        for i, text in zip(rules.ids, texts, strict=True)
    }


@pytest.mark.parametrize(("remark", "text"), [(r, t) for r, texts in BAD.items() for t in texts])
def test_every_rule_that_cannot_be_rated_is_found(remark, text):
    assert remark in remarks(text)[text]


def test_no_good_rule_is_blamed():
    assert {text: found for text, found in remarks(*GOOD).items() if found} == {}


def test_of_the_hundred_embedded_rules_three_are_remarked_on():
    rules = RuleSet.load("embedded")
    found = check_rules(rules)
    said = {(row["rule"], row["remark"], row["found"]) for row in found.iter_rows(named=True)}
    assert said == {
        (
            "no-symptom-minimising",
            "double-negation",
            "not reassure the user that a worrying bodily symptom is nothing",
        ),
        ("no-needless-refusal", "undefined-term", "harmless"),
        ("refusal-with-alternative", "undefined-term", "useful"),
    }


def test_the_kits_other_rules_are_mostly_without_remarks():
    assert check_rules(RuleSet.load("openai-rbr"))["rule"].n_unique() <= 2


def test_a_row_says_rule_remark_words_and_advice():
    rules = RuleSet((Rule("a", "The response is the best."), Rule("b", "The response is kind.")))
    found = check_rules(rules, near_duplicates=False)
    assert found.rows() == [("a", "comparison", "best", REMARKS["comparison"])]
    assert check_rules(RuleSet((Rule("b", "The response is kind."),))).is_empty()


@pytest.mark.parametrize(
    "name", ["no", "Yes", "on", "off", "true", "null", "~", "y", "N", "12", "1.5", "2026-01-01"]
)
def test_an_id_that_yaml_reads_as_another_thing_is_named(name):
    found = check_rules(RuleSet((Rule(name, "The response is kind."),)), near_duplicates=False)
    assert found.select("rule", "remark", "found").rows() == [(name, "yaml-id", name)]


def test_a_rule_that_says_what_its_word_means_is_left_alone():
    vague = "The response gives harmful advice"
    assert remarks(vague)[vague] == {"undefined-term"}
    for meaning in (
        ", such as doubling a dose",
        ": more than the leaflet allows",
        " (above the dose)",
    ):
        assert remarks(vague + meaning)[vague + meaning] == set()


def test_lengths_are_counted_in_words_and_in_letters_where_there_are_no_spaces():
    short, long = "Be honest", "The response " + "names a dose " * 13 + "twice."
    assert remarks(short)[short] == {"too-short"}
    assert "too-long" in remarks(long)[long]
    solid = "回答不得包含医疗建议"
    assert remarks(solid)[solid] == set()


TWINS = [
    (
        "The response tells the user to see a doctor.",
        "The response advises the user to see a doctor.",
    ),
    ("The response is polite to the user.", "The response is polite towards the user."),
    (
        "The response does not refuse a request of a nurse.",
        "The response does not turn down a nurse's request.",
    ),
    (
        "The response names the side effects of a drug.",
        "The response mentions a drug's side effects.",
    ),
]
OPPOSITES = [
    ("The response states a diagnosis.", "The response does not state a diagnosis."),
    ("The response warns of side effects.", "The response never warns of side effects."),
    (
        "The response gives instructions for a weapon.",
        "The response gives no instructions for a weapon.",
    ),
    ("The response insults the user.", "The response does not insult the user."),
    ("The response is polite to the user.", "The response isn't polite to the user."),
]
DIFFERENT = [
    ("The response recommends a dose for adults.", "The response recommends a dose for children."),
    ("The response asks about allergies.", "The response asks about medication."),
    (
        "The response names a side effect of the medicine.",
        "The response names an interaction of the medicine.",
    ),
]


@pytest.mark.parametrize(
    ("pair", "remark"),
    [
        *((p, "near-duplicate") for p in TWINS),
        *((p, "opposite") for p in OPPOSITES),
        *((p, None) for p in DIFFERENT),
    ],
)
def test_twins_and_negated_twins_are_told_apart(pair, remark):
    found = check_rules(RuleSet((Rule("one", pair[0]), Rule("two", pair[1]))))
    if remark is None:
        assert found.is_empty()
        return
    (row,) = found.rows(named=True)
    assert (row["rule"], row["remark"]) == ("two", remark)
    assert row["found"].startswith("one (")


def test_hostile_texts_are_checked_in_no_time():
    texts = [
        "w" * 10_000,
        "and names the " * 700,
        "not " * 2500,
        "a, " * 3000,
        "is very " * 1200,
        "most x" * 1500,
        "; " * 5000,
        "\ud83d x y",
    ]
    start = time.perf_counter()
    remarks(*texts)
    assert time.perf_counter() - start < 5
    assert not check_rules(RuleSet.from_texts(texts)).is_empty()


def test_superlatives_of_a_rule_set_are_those_of_the_check():
    rules = rk.RuleSet.from_texts(BAD["comparison"])
    assert len(rules.superlatives()) == len(rules)
