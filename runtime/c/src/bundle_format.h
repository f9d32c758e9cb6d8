/* Written by `python -m tools.checks.settings_table --write`: do not edit. */
#ifndef CARVE_BUNDLE_FORMAT_H
#define CARVE_BUNDLE_FORMAT_H

#define SCHEMA_VERSION 2
#define PROMPTS_SCHEMA 1
#define MIN_SIDE 2
#define DEFAULT_MAX_ASPECT_RATIO 200
#define DEFAULT_GROWTH 4
#define FEATURE -1
#define CHANGE_CELL 4

#define NAME_MANIFEST_FILE "carve.json"
#define NAME_TOKENIZER_FILE "tokenizer.json"
#define NAME_PREPROCESS "preprocess"
#define NAME_VISION_ENCODER "vision_encoder"
#define NAME_EMBED_TOKENS "embed_tokens"
#define NAME_DECODER "decoder_model_merged"
#define NAME_DECODER_LOWER "decoder_lower"
#define NAME_DECODER_UPPER "decoder_upper"
#define NAME_CARVE_REFINE "carve_refine"
#define NAME_PIXEL_VALUES "pixel_values"
#define NAME_IMAGE_FEATURES "image_features"
#define NAME_INPUT_IDS "input_ids"
#define NAME_INPUTS_EMBEDS "inputs_embeds"
#define NAME_ATTENTION_MASK "attention_mask"
#define NAME_POSITION_IDS "position_ids"
#define NAME_DEEPSTACK_FEATURES "deepstack_features"
#define NAME_DEEPSTACK_EMBEDS "deepstack_embeds"
#define NAME_HIDDEN_STATES "hidden_states"
#define NAME_LOGITS "logits"
#define NAME_LAST_ROW "decoder_attentions.last_row"
#define NAME_PAST_PREFIX "past_key_values"
#define NAME_PRESENT_PREFIX "present"
#define NAME_IMAGE "image"
#define NAME_MAX_PIXELS "max_pixels"
#define NAME_IMAGE_IDS "image_ids"
#define NAME_IMAGE_POSITIONS "image_positions"
#define NAME_NEXT_POSITION "next_position"
#define NAME_MAP_TOKENS "map_tokens"
#define NAME_GRID "grid"
#define NAME_WINDOW "window"
#define NAME_LEAST_PIXELS "least_pixels"
#define NAME_QUESTION_ATTENTION "question_attention"
#define NAME_GENERAL_ATTENTION "general_attention"
#define NAME_STEP_WEIGHTS "step_weights"
#define NAME_LAYER_WEIGHTS "layer_weights"
#define NAME_REGULARIZER "regularizer"
#define NAME_MASK_TOP_P "mask_top_p"
#define NAME_MAX_REGIONS "max_regions"
#define NAME_STRATEGY "strategy"
#define NAME_RULE "rule"
#define NAME_OUTLIER_PERCENT "outlier_percent"
#define NAME_MAX_REFINED_PIXELS "max_refined_pixels"
#define NAME_SALIENCY "saliency"
#define NAME_MASK "mask"
#define NAME_BBOX "bbox"
#define NAME_REFINED_IMAGE "refined_image"
#define NAME_REFINED_LIMITED "refined_limited"

#endif
