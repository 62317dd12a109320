"""The comparisons that the notebooks show, a frame of figures each.

Pairs, scores and judges come in; tables with intervals go out. Open `selection_accuracy` first; `trained` is
about models, `comparison` about selectors, `costs` about cost, `judges` about judges.
"""

from rulekit.studies.comparison import (
    adaptive_gaps,
    compare_rated,
    compare_simulated,
    label_calibration,
)
from rulekit.studies.comparison_words import comparison_findings
from rulekit.studies.costs import cost_curve
from rulekit.studies.described import (
    data_findings,
    example_pair,
    pair_facts,
    rules_by_category,
    simple_baselines,
)
from rulekit.studies.engines import fine_tune
from rulekit.studies.estimator_trials import (
    ERROR_NAMES,
    estimator_findings,
    false_discoveries,
    redundancy_table,
)
from rulekit.studies.gains import accuracy_table, gain_rows, paired_gains, with_gains
from rulekit.studies.judge_words import (
    distillation_rows,
    enough_ratings,
    judge_findings,
    network_rows,
    quality_findings,
    report_rows,
)
from rulekit.studies.judges import (
    cost_ratio,
    distillation_report,
    judge_agreement,
    judge_areas,
    judge_outcomes,
    judge_report,
    network_table,
    ranking_agreement,
    reader_agreement,
)
from rulekit.studies.label_choice import (
    label_choice_curves,
    label_choice_findings,
    label_choice_table,
    labels_saved,
)
from rulekit.studies.new_rules import agreement_with, deciding_pairs, new_rule_rows
from rulekit.studies.new_texts import direction_table, proposition_findings, proposition_table
from rulekit.studies.peers import peer_ratios, speed_findings
from rulekit.studies.phrases import joined_interval
from rulekit.studies.position import position_audit
from rulekit.studies.rated_rules import (
    rating_cost,
    rating_findings,
    repeated_rules,
    rule_agreement,
    rule_use,
)
from rulekit.studies.real_agreement import (
    paired_readings,
    reading_agreement,
    reading_findings,
    verdict_agreement,
)
from rulekit.studies.real_beside import (
    TOPICS,
    beside_topics,
    beside_votes,
    label_stability,
    listed_rules,
)
from rulekit.studies.real_judge import (
    joined_labels,
    readings_labelled,
    real_judge_table,
    satisfied_area,
)
from rulekit.studies.real_labels import (
    learned_grid,
    real_margins,
    real_table,
    single_verdicts,
    subset_table,
    verdict_margin,
)
from rulekit.studies.real_premise import best_five, premise_curve, premise_slopes, rule_directions
from rulekit.studies.real_words import (
    beside_findings,
    learning_findings,
    real_findings,
    rule_set_findings,
)
from rulekit.studies.recommended import (
    Recommended,
    own_fold_margin,
    recommended_labels,
    recommended_rewards,
    recommended_table,
)
from rulekit.studies.results import (
    chosen_rules,
    clearest_pair,
    limits,
    preferred,
    rating_figures,
    results_findings,
    what_labels_add,
)
from rulekit.studies.rule_accuracy import ends_of, rule_accuracies, rule_accuracy_findings
from rulekit.studies.rules import near_duplicates
from rulekit.studies.selection_accuracy import (
    accuracy_row,
    explain_pair,
    grid_at,
    grid_gains,
    length_margin,
    rule_orders,
    selection_agreement,
    selection_grid,
    selection_table,
)
from rulekit.studies.selection_picture import chosen_cells
from rulekit.studies.selection_words import agreement_findings, selection_findings
from rulekit.studies.selector_curves import (
    BY_K,
    assumptions_of,
    selectors_by_k,
    selectors_that_compare,
    where_assumptions_break,
    world_findings,
    world_title,
)
from rulekit.studies.theory_tables import (
    lattice_check,
    subset_rows,
    theory_findings,
    votes_for_a_bit,
)
from rulekit.studies.trained import (
    adapter_findings,
    adapter_report,
    can_cross_fit,
    recall_table,
    reward_findings,
    reward_margins,
    reward_table,
)
from rulekit.studies.ways import (
    SUM,
    Ways,
    results_cost,
    results_reward,
    results_table,
    ways_to_label,
)

__all__ = [
    "BY_K",
    "ERROR_NAMES",
    "SUM",
    "TOPICS",
    "Recommended",
    "Ways",
    "accuracy_row",
    "accuracy_table",
    "adapter_findings",
    "adapter_report",
    "adaptive_gaps",
    "agreement_findings",
    "agreement_with",
    "assumptions_of",
    "beside_findings",
    "beside_topics",
    "beside_votes",
    "best_five",
    "can_cross_fit",
    "chosen_cells",
    "chosen_rules",
    "clearest_pair",
    "compare_rated",
    "compare_simulated",
    "comparison_findings",
    "cost_curve",
    "cost_ratio",
    "data_findings",
    "deciding_pairs",
    "direction_table",
    "distillation_report",
    "distillation_rows",
    "ends_of",
    "enough_ratings",
    "estimator_findings",
    "example_pair",
    "explain_pair",
    "false_discoveries",
    "fine_tune",
    "gain_rows",
    "grid_at",
    "grid_gains",
    "joined_interval",
    "joined_labels",
    "judge_agreement",
    "judge_areas",
    "judge_findings",
    "judge_outcomes",
    "judge_report",
    "label_calibration",
    "label_choice_curves",
    "label_choice_findings",
    "label_choice_table",
    "label_stability",
    "labels_saved",
    "lattice_check",
    "learned_grid",
    "learning_findings",
    "length_margin",
    "limits",
    "listed_rules",
    "near_duplicates",
    "network_rows",
    "network_table",
    "new_rule_rows",
    "own_fold_margin",
    "pair_facts",
    "paired_gains",
    "paired_readings",
    "peer_ratios",
    "position_audit",
    "preferred",
    "premise_curve",
    "premise_slopes",
    "proposition_findings",
    "proposition_table",
    "quality_findings",
    "ranking_agreement",
    "rating_cost",
    "rating_figures",
    "rating_findings",
    "reader_agreement",
    "reading_agreement",
    "reading_findings",
    "readings_labelled",
    "real_findings",
    "real_judge_table",
    "real_margins",
    "real_table",
    "recall_table",
    "recommended_labels",
    "recommended_rewards",
    "recommended_table",
    "redundancy_table",
    "repeated_rules",
    "report_rows",
    "results_cost",
    "results_findings",
    "results_reward",
    "results_table",
    "reward_findings",
    "reward_margins",
    "reward_table",
    "rule_accuracies",
    "rule_accuracy_findings",
    "rule_agreement",
    "rule_directions",
    "rule_orders",
    "rule_set_findings",
    "rule_use",
    "rules_by_category",
    "satisfied_area",
    "selection_agreement",
    "selection_findings",
    "selection_grid",
    "selection_table",
    "selectors_by_k",
    "selectors_that_compare",
    "simple_baselines",
    "single_verdicts",
    "speed_findings",
    "subset_rows",
    "subset_table",
    "theory_findings",
    "verdict_agreement",
    "verdict_margin",
    "votes_for_a_bit",
    "ways_to_label",
    "what_labels_add",
    "where_assumptions_break",
    "with_gains",
    "world_findings",
    "world_title",
]
