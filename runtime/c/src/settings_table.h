/* Written by `python -m tools.checks.settings_table --write`: do not edit. */
#ifndef CARVE_SETTINGS_TABLE_H
#define CARVE_SETTINGS_TABLE_H

/* Choices: name, default, values in the order of carve.h's enumerators. */
#define CHOICE_SETTINGS(X)                                                                         \
    X(steps, CARVE_STEPS_ALL, "first", "all", "last")                                              \
    X(strategy, CARVE_STRATEGY_ATTENTION_SUM, "attention_sum", "size", "remove_small")             \
    X(rule, CARVE_RULE_RELEASED, "released", "paper")                                              \
    X(method, CARVE_METHOD_CONTRAST, "contrast", "question", "relative", "rollout",                \
      "sharpest_layer", "sink_removal", "agreement")                                               \
    X(contrast, CARVE_CONTRAST_ON, "on", "off", "auto")                                            \
    X(geometry, CARVE_GEOMETRY_INPUT, "input", "released")                                         \
    X(final_prompt, CARVE_FINAL_PAIR, "pair", "refined")                                           \
    X(resize_refined, CARVE_RESIZE_BY_SIZE, "by_size", "twice", "once")

/* Real numbers: name, default, lowest, whether it is excluded, highest, whether
 * CARVE_AUTO is accepted, the range in words. */
#define REAL_SETTINGS(X)                                                                           \
    X(mask_top_p, 0.2, 0, true, 1, true, "a number above 0, at most 1")                            \
    X(outlier_percent, 0.1, 0, false, 100, false, "a number from 0 to 100")                        \
    X(regularizer, 1e-08, 0, false, HUGE_VAL, true, "a number of at least 0")

/* Real numbers that may be left out, CARVE_NONE in carve.h: name, lowest, highest, the
 * range in words. */
#define OPTIONAL_REAL_SETTINGS(X)                                                                  \
    X(sure_probability, 0, 1, "a number from 0 to 1")                                              \
    X(focused_entropy, 0, HUGE_VAL, "a number of at least 0")

/* Whole numbers: name, default, lowest, the range in words. */
#define WHOLE_SETTINGS(X)                                                                          \
    X(max_regions, 3, 1, "a whole number of at least 1")                                           \
    X(max_new_tokens, 32, 1, "a whole number of at least 1")

/* Whole numbers that may be left out, 0 in carve.h: name, lowest, highest, the range in words. */
#define OPTIONAL_SETTINGS(X)                                                                       \
    X(max_refined_pixels, 1, 268435456, "a whole number from 1 to 268435456")                      \
    X(scout_pixels, 1, 268435456, "a whole number from 1 to 268435456")                            \
    X(final_pixels, 1, 268435456, "a whole number from 1 to 268435456")

/* True or false, 1 or 0 in carve.h: name, default. */
#define FLAG_SETTINGS(X)                                                                           \
    X(early_exit, 0)                                                                               \
    X(adaptive, 0)

/* Variants, in the order of carve.h's enumerators: what they set. */
#define VARIANT_SETTINGS(X)                                                                        \
    X(CARVE_STEPS_FIRST, CARVE_STRATEGY_REMOVE_SMALL)                                              \
    X(CARVE_STEPS_FIRST, CARVE_STRATEGY_SIZE)                                                      \
    X(CARVE_STEPS_FIRST, CARVE_STRATEGY_ATTENTION_SUM)                                             \
    X(CARVE_STEPS_ALL, CARVE_STRATEGY_ATTENTION_SUM)

#endif
