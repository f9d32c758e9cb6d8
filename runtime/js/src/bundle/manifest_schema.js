// Written by `python -m tools.checks.settings_table --write`: do not edit.

/** What carve.json must look like; what a schema cannot say is in manifest.js. */
export const MANIFEST_SCHEMA = {
  "$ref": "#/$defs/Manifest",
  "$defs": {
    "Manifest": {
      "type": "object",
      "properties": {
        "family": {
          "type": "string"
        },
        "profile": {
          "enum": [
            "ort",
            "portable"
          ]
        },
        "opset": {
          "type": "integer"
        },
        "source": {
          "type": "string"
        },
        "graphs": {
          "type": "object",
          "additionalProperties": {
            "$ref": "#/$defs/GraphSpec"
          }
        },
        "files": {
          "type": "object",
          "additionalProperties": {
            "$ref": "#/$defs/FileEntry"
          }
        },
        "image": {
          "type": "object",
          "required": [
            "kind"
          ],
          "properties": {
            "kind": {
              "enum": [
                "fixed",
                "native",
                "tiled"
              ]
            }
          },
          "allOf": [
            {
              "if": {
                "properties": {
                  "kind": {
                    "const": "fixed"
                  }
                }
              },
              "then": {
                "$ref": "#/$defs/FixedImage"
              }
            },
            {
              "if": {
                "properties": {
                  "kind": {
                    "const": "native"
                  }
                }
              },
              "then": {
                "$ref": "#/$defs/NativeImage"
              }
            },
            {
              "if": {
                "properties": {
                  "kind": {
                    "const": "tiled"
                  }
                }
              },
              "then": {
                "$ref": "#/$defs/TiledImage"
              }
            }
          ]
        },
        "prompts": {
          "$ref": "#/$defs/Prompts"
        },
        "decoder": {
          "$ref": "#/$defs/DecoderSpec"
        },
        "defaults": {
          "$ref": "#/$defs/Settings"
        },
        "weights": {
          "enum": [
            "bfloat16",
            "float16",
            "float32"
          ]
        },
        "dtype": {
          "enum": [
            "bfloat16",
            "float16",
            "float32"
          ]
        },
        "versions": {
          "type": "object",
          "additionalProperties": {
            "type": "string"
          }
        },
        "lowered": {
          "type": "object",
          "additionalProperties": {
            "type": "string"
          }
        },
        "quality": {
          "anyOf": [
            {
              "$ref": "#/$defs/Quality"
            },
            {
              "type": "null"
            }
          ]
        },
        "video": {
          "anyOf": [
            {
              "$ref": "#/$defs/VideoRule"
            },
            {
              "type": "null"
            }
          ]
        },
        "schema_version": {
          "type": "integer"
        }
      },
      "required": [
        "family",
        "profile",
        "opset",
        "source",
        "graphs",
        "files",
        "image",
        "prompts",
        "decoder",
        "defaults"
      ]
    },
    "GraphSpec": {
      "type": "object",
      "properties": {
        "file": {
          "type": "string"
        },
        "inputs": {
          "type": "array",
          "items": {
            "$ref": "#/$defs/Tensor"
          }
        },
        "outputs": {
          "type": "array",
          "items": {
            "$ref": "#/$defs/Tensor"
          }
        }
      },
      "required": [
        "file",
        "inputs",
        "outputs"
      ]
    },
    "Tensor": {
      "type": "object",
      "properties": {
        "name": {
          "type": "string"
        },
        "dtype": {
          "type": "string"
        },
        "shape": {
          "type": "array",
          "items": {
            "anyOf": [
              {
                "type": "integer"
              },
              {
                "type": "string"
              }
            ]
          }
        }
      },
      "required": [
        "name",
        "dtype",
        "shape"
      ]
    },
    "FileEntry": {
      "type": "object",
      "properties": {
        "size": {
          "type": "integer"
        },
        "sha256": {
          "type": "string"
        }
      },
      "required": [
        "size",
        "sha256"
      ]
    },
    "FixedImage": {
      "type": "object",
      "properties": {
        "kind": {
          "enum": [
            "fixed"
          ]
        },
        "resample": {
          "enum": [
            "bicubic",
            "bilinear",
            "box",
            "hamming",
            "lanczos",
            "nearest"
          ]
        },
        "rescale_factor": {
          "type": "number"
        },
        "mean": {
          "anyOf": [
            {
              "type": "array",
              "minItems": 3,
              "maxItems": 3,
              "prefixItems": [
                {
                  "type": "number"
                },
                {
                  "type": "number"
                },
                {
                  "type": "number"
                }
              ],
              "items": false
            },
            {
              "type": "null"
            }
          ]
        },
        "std": {
          "anyOf": [
            {
              "type": "array",
              "minItems": 3,
              "maxItems": 3,
              "prefixItems": [
                {
                  "type": "number"
                },
                {
                  "type": "number"
                },
                {
                  "type": "number"
                }
              ],
              "items": false
            },
            {
              "type": "null"
            }
          ]
        },
        "max_aspect_ratio": {
          "type": "number"
        },
        "pad_color": {
          "anyOf": [
            {
              "type": "array",
              "minItems": 3,
              "maxItems": 3,
              "prefixItems": [
                {
                  "type": "integer",
                  "minimum": 0,
                  "maximum": 255
                },
                {
                  "type": "integer",
                  "minimum": 0,
                  "maximum": 255
                },
                {
                  "type": "integer",
                  "minimum": 0,
                  "maximum": 255
                }
              ],
              "items": false
            },
            {
              "type": "null"
            }
          ]
        },
        "resize_to": {
          "anyOf": [
            {
              "type": "array",
              "minItems": 2,
              "maxItems": 2,
              "prefixItems": [
                {
                  "type": "integer",
                  "minimum": 1,
                  "maximum": 16384
                },
                {
                  "type": "integer",
                  "minimum": 1,
                  "maximum": 16384
                }
              ],
              "items": false
            },
            {
              "type": "null"
            }
          ]
        },
        "resize_shortest_edge": {
          "anyOf": [
            {
              "type": "integer",
              "minimum": 1,
              "maximum": 16384
            },
            {
              "type": "null"
            }
          ]
        },
        "crop": {
          "anyOf": [
            {
              "type": "array",
              "minItems": 2,
              "maxItems": 2,
              "prefixItems": [
                {
                  "type": "integer",
                  "minimum": 1,
                  "maximum": 16384
                },
                {
                  "type": "integer",
                  "minimum": 1,
                  "maximum": 16384
                }
              ],
              "items": false
            },
            {
              "type": "null"
            }
          ]
        },
        "size": {
          "type": "array",
          "minItems": 2,
          "maxItems": 2,
          "prefixItems": [
            {
              "type": "integer",
              "minimum": 1,
              "maximum": 16384
            },
            {
              "type": "integer",
              "minimum": 1,
              "maximum": 16384
            }
          ],
          "items": false
        },
        "grid": {
          "type": "array",
          "minItems": 2,
          "maxItems": 2,
          "prefixItems": [
            {
              "type": "integer",
              "minimum": 1,
              "maximum": 16777216
            },
            {
              "type": "integer",
              "minimum": 1,
              "maximum": 16777216
            }
          ],
          "items": false
        },
        "patch_size": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16384
        }
      },
      "required": [
        "kind",
        "size",
        "grid",
        "patch_size"
      ]
    },
    "NativeImage": {
      "type": "object",
      "properties": {
        "kind": {
          "enum": [
            "native"
          ]
        },
        "resample": {
          "enum": [
            "bicubic",
            "bilinear",
            "box",
            "hamming",
            "lanczos",
            "nearest"
          ]
        },
        "rescale_factor": {
          "type": "number"
        },
        "mean": {
          "anyOf": [
            {
              "type": "array",
              "minItems": 3,
              "maxItems": 3,
              "prefixItems": [
                {
                  "type": "number"
                },
                {
                  "type": "number"
                },
                {
                  "type": "number"
                }
              ],
              "items": false
            },
            {
              "type": "null"
            }
          ]
        },
        "std": {
          "anyOf": [
            {
              "type": "array",
              "minItems": 3,
              "maxItems": 3,
              "prefixItems": [
                {
                  "type": "number"
                },
                {
                  "type": "number"
                },
                {
                  "type": "number"
                }
              ],
              "items": false
            },
            {
              "type": "null"
            }
          ]
        },
        "max_aspect_ratio": {
          "type": "number"
        },
        "min_pixels": {
          "type": "integer",
          "minimum": 1,
          "maximum": 268435456
        },
        "max_pixels": {
          "type": "integer",
          "minimum": 1,
          "maximum": 268435456
        },
        "patch_size": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16384
        },
        "merge_size": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "temporal_patch_size": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "window_size": {
          "anyOf": [
            {
              "type": "integer",
              "minimum": 1,
              "maximum": 16777216
            },
            {
              "type": "null"
            }
          ]
        },
        "position_side": {
          "anyOf": [
            {
              "type": "integer",
              "minimum": 1,
              "maximum": 16777216
            },
            {
              "type": "null"
            }
          ]
        }
      },
      "required": [
        "kind",
        "min_pixels",
        "max_pixels",
        "patch_size",
        "merge_size",
        "temporal_patch_size"
      ]
    },
    "TiledImage": {
      "type": "object",
      "properties": {
        "kind": {
          "enum": [
            "tiled"
          ]
        },
        "resample": {
          "enum": [
            "bicubic",
            "bilinear",
            "box",
            "hamming",
            "lanczos",
            "nearest"
          ]
        },
        "rescale_factor": {
          "type": "number"
        },
        "mean": {
          "anyOf": [
            {
              "type": "array",
              "minItems": 3,
              "maxItems": 3,
              "prefixItems": [
                {
                  "type": "number"
                },
                {
                  "type": "number"
                },
                {
                  "type": "number"
                }
              ],
              "items": false
            },
            {
              "type": "null"
            }
          ]
        },
        "std": {
          "anyOf": [
            {
              "type": "array",
              "minItems": 3,
              "maxItems": 3,
              "prefixItems": [
                {
                  "type": "number"
                },
                {
                  "type": "number"
                },
                {
                  "type": "number"
                }
              ],
              "items": false
            },
            {
              "type": "null"
            }
          ]
        },
        "max_aspect_ratio": {
          "type": "number"
        },
        "split": {
          "enum": [
            "closest_aspect",
            "longest_edge",
            "none"
          ]
        },
        "tile": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16384
        },
        "tile_grid": {
          "type": "array",
          "minItems": 2,
          "maxItems": 2,
          "prefixItems": [
            {
              "type": "integer",
              "minimum": 1,
              "maximum": 16777216
            },
            {
              "type": "integer",
              "minimum": 1,
              "maximum": 16777216
            }
          ],
          "items": false
        },
        "longest_edge": {
          "anyOf": [
            {
              "type": "integer",
              "minimum": 1,
              "maximum": 16384
            },
            {
              "type": "null"
            }
          ]
        },
        "min_tiles": {
          "type": "integer",
          "minimum": 1,
          "maximum": 1024
        },
        "max_tiles": {
          "type": "integer",
          "minimum": 1,
          "maximum": 1024
        },
        "markup": {
          "$ref": "#/$defs/TileMarkup"
        }
      },
      "required": [
        "kind",
        "split",
        "tile",
        "tile_grid"
      ]
    },
    "TileMarkup": {
      "type": "object",
      "properties": {
        "begin": {
          "type": "array",
          "items": {
            "type": "integer",
            "minimum": 0,
            "exclusiveMaximum": 4294967296
          }
        },
        "tiles": {
          "type": "array",
          "items": {
            "type": "array",
            "items": {
              "type": "array",
              "items": {
                "type": "integer",
                "minimum": 0,
                "exclusiveMaximum": 4294967296
              }
            }
          }
        },
        "row_end": {
          "type": "array",
          "items": {
            "type": "integer",
            "minimum": 0,
            "exclusiveMaximum": 4294967296
          }
        },
        "global_view": {
          "type": "array",
          "items": {
            "type": "integer",
            "minimum": 0,
            "exclusiveMaximum": 4294967296
          }
        },
        "alone": {
          "type": "array",
          "items": {
            "type": "integer",
            "minimum": 0,
            "exclusiveMaximum": 4294967296
          }
        },
        "end": {
          "type": "array",
          "items": {
            "type": "integer",
            "minimum": 0,
            "exclusiveMaximum": 4294967296
          }
        }
      },
      "required": []
    },
    "Prompts": {
      "type": "object",
      "properties": {
        "single": {
          "type": "array",
          "items": {
            "$ref": "#/$defs/Segment"
          }
        },
        "pair": {
          "type": "array",
          "items": {
            "$ref": "#/$defs/Segment"
          }
        },
        "suffix": {
          "type": "string"
        },
        "general": {
          "type": "string"
        }
      },
      "required": [
        "single",
        "pair",
        "suffix",
        "general"
      ]
    },
    "Segment": {
      "type": "object",
      "properties": {
        "ids": {
          "anyOf": [
            {
              "type": "array",
              "items": {
                "type": "integer",
                "minimum": 0,
                "exclusiveMaximum": 4294967296
              }
            },
            {
              "type": "null"
            }
          ]
        },
        "image": {
          "anyOf": [
            {
              "type": "integer",
              "minimum": 0,
              "exclusiveMaximum": 4294967296
            },
            {
              "type": "null"
            }
          ]
        },
        "text": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ]
        }
      },
      "required": []
    },
    "DecoderSpec": {
      "type": "object",
      "properties": {
        "layers": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "attention_heads": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "key_value_heads": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "head_dim": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "hidden_size": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "vocab_size": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "context_length": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "tapped_layers": {
          "type": "array",
          "items": {
            "type": "integer",
            "minimum": 0,
            "exclusiveMaximum": 4294967296
          }
        },
        "image_token_id": {
          "type": "integer",
          "minimum": 0,
          "exclusiveMaximum": 4294967296
        },
        "eos_token_ids": {
          "type": "array",
          "items": {
            "type": "integer",
            "minimum": 0,
            "exclusiveMaximum": 4294967296
          }
        },
        "attention": {
          "enum": [
            "heads",
            "mean"
          ]
        },
        "exit_layers": {
          "anyOf": [
            {
              "type": "integer",
              "minimum": 1,
              "maximum": 16777216
            },
            {
              "type": "null"
            }
          ]
        },
        "positions": {
          "enum": [
            "mrope",
            "sequential"
          ]
        },
        "deepstack_layers": {
          "type": "integer",
          "minimum": 0,
          "maximum": 64
        }
      },
      "required": [
        "layers",
        "attention_heads",
        "key_value_heads",
        "head_dim",
        "hidden_size",
        "vocab_size",
        "context_length",
        "tapped_layers",
        "image_token_id",
        "eos_token_ids"
      ]
    },
    "Settings": {
      "type": "object",
      "properties": {
        "layers": {
          "type": "array",
          "items": {
            "type": "integer"
          }
        },
        "steps": {
          "enum": [
            "all",
            "first",
            "last"
          ]
        },
        "strategy": {
          "enum": [
            "attention_sum",
            "remove_small",
            "size"
          ]
        },
        "rule": {
          "enum": [
            "paper",
            "released"
          ]
        },
        "mask_top_p": {
          "anyOf": [
            {
              "type": "number"
            },
            {
              "enum": [
                "auto"
              ]
            }
          ]
        },
        "max_regions": {
          "type": "integer"
        },
        "outlier_percent": {
          "type": "number"
        },
        "method": {
          "enum": [
            "agreement",
            "contrast",
            "question",
            "relative",
            "rollout",
            "sharpest_layer",
            "sink_removal"
          ]
        },
        "general_instructions": {
          "anyOf": [
            {
              "type": "array",
              "items": {
                "type": "string"
              }
            },
            {
              "type": "null"
            }
          ]
        },
        "contrast": {
          "enum": [
            "auto",
            "off",
            "on"
          ]
        },
        "regularizer": {
          "anyOf": [
            {
              "type": "number"
            },
            {
              "enum": [
                "auto"
              ]
            }
          ]
        },
        "geometry": {
          "enum": [
            "input",
            "released"
          ]
        },
        "final_prompt": {
          "enum": [
            "pair",
            "refined"
          ]
        },
        "max_new_tokens": {
          "type": "integer"
        },
        "max_refined_pixels": {
          "anyOf": [
            {
              "type": "integer"
            },
            {
              "type": "null"
            }
          ]
        },
        "scout_pixels": {
          "anyOf": [
            {
              "type": "integer"
            },
            {
              "type": "null"
            }
          ]
        },
        "final_pixels": {
          "anyOf": [
            {
              "type": "integer"
            },
            {
              "type": "null"
            }
          ]
        },
        "resize_refined": {
          "enum": [
            "by_size",
            "once",
            "twice"
          ]
        },
        "early_exit": {
          "type": "boolean"
        },
        "adaptive": {
          "type": "boolean"
        },
        "sure_probability": {
          "anyOf": [
            {
              "type": "number"
            },
            {
              "type": "null"
            }
          ]
        },
        "focused_entropy": {
          "anyOf": [
            {
              "type": "number"
            },
            {
              "type": "null"
            }
          ]
        }
      },
      "required": [
        "layers"
      ]
    },
    "Quality": {
      "type": "object",
      "properties": {
        "precision": {
          "type": "object",
          "additionalProperties": {
            "type": "string"
          }
        },
        "questions": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "plain_agreement": {
          "type": "number"
        },
        "answer_agreement": {
          "type": "number"
        },
        "mask_overlap": {
          "type": "number"
        },
        "least_mask_overlap": {
          "type": "number"
        },
        "size": {
          "type": "number"
        },
        "right": {
          "anyOf": [
            {
              "type": "number"
            },
            {
              "type": "null"
            }
          ]
        },
        "usual_right": {
          "anyOf": [
            {
              "type": "number"
            },
            {
              "type": "null"
            }
          ]
        },
        "pointing": {
          "anyOf": [
            {
              "type": "number"
            },
            {
              "type": "null"
            }
          ]
        },
        "usual_pointing": {
          "anyOf": [
            {
              "type": "number"
            },
            {
              "type": "null"
            }
          ]
        }
      },
      "required": [
        "precision",
        "questions",
        "plain_agreement",
        "answer_agreement",
        "mask_overlap",
        "least_mask_overlap",
        "size"
      ]
    },
    "VideoRule": {
      "type": "object",
      "properties": {
        "sampling": {
          "type": "object",
          "required": [
            "kind"
          ],
          "properties": {
            "kind": {
              "enum": [
                "stepped",
                "spread",
                "trimmed",
                "centred"
              ]
            }
          },
          "allOf": [
            {
              "if": {
                "properties": {
                  "kind": {
                    "const": "stepped"
                  }
                }
              },
              "then": {
                "$ref": "#/$defs/SteppedSampling"
              }
            },
            {
              "if": {
                "properties": {
                  "kind": {
                    "const": "spread"
                  }
                }
              },
              "then": {
                "$ref": "#/$defs/SpreadSampling"
              }
            },
            {
              "if": {
                "properties": {
                  "kind": {
                    "const": "trimmed"
                  }
                }
              },
              "then": {
                "$ref": "#/$defs/TrimmedSampling"
              }
            },
            {
              "if": {
                "properties": {
                  "kind": {
                    "const": "centred"
                  }
                }
              },
              "then": {
                "$ref": "#/$defs/CentredSampling"
              }
            }
          ]
        },
        "frames": {
          "type": "object",
          "required": [
            "kind"
          ],
          "properties": {
            "kind": {
              "enum": [
                "fixed",
                "native",
                "tiled"
              ]
            }
          },
          "allOf": [
            {
              "if": {
                "properties": {
                  "kind": {
                    "const": "fixed"
                  }
                }
              },
              "then": {
                "$ref": "#/$defs/FixedImage"
              }
            },
            {
              "if": {
                "properties": {
                  "kind": {
                    "const": "native"
                  }
                }
              },
              "then": {
                "$ref": "#/$defs/NativeImage"
              }
            },
            {
              "if": {
                "properties": {
                  "kind": {
                    "const": "tiled"
                  }
                }
              },
              "then": {
                "$ref": "#/$defs/TiledImage"
              }
            }
          ]
        },
        "prompt": {
          "type": "array",
          "items": {
            "$ref": "#/$defs/Segment"
          }
        },
        "markup": {
          "$ref": "#/$defs/ClipMarkup"
        },
        "clip_pixels": {
          "anyOf": [
            {
              "$ref": "#/$defs/ClipPixels"
            },
            {
              "type": "null"
            }
          ]
        },
        "positions_per_second": {
          "anyOf": [
            {
              "type": "number",
              "exclusiveMinimum": 0,
              "maximum": 1000000.0
            },
            {
              "type": "null"
            }
          ]
        }
      },
      "required": [
        "sampling",
        "frames",
        "prompt",
        "markup"
      ]
    },
    "SteppedSampling": {
      "type": "object",
      "properties": {
        "kind": {
          "enum": [
            "stepped"
          ]
        },
        "max_frames": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "fps": {
          "type": "number",
          "exclusiveMinimum": 0,
          "maximum": 1000000.0
        },
        "min_frames": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "multiple": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        }
      },
      "required": [
        "kind",
        "max_frames",
        "fps",
        "min_frames",
        "multiple"
      ]
    },
    "SpreadSampling": {
      "type": "object",
      "properties": {
        "kind": {
          "enum": [
            "spread"
          ]
        },
        "max_frames": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "fps": {
          "type": "number",
          "exclusiveMinimum": 0,
          "maximum": 1000000.0
        },
        "min_frames": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        }
      },
      "required": [
        "kind",
        "max_frames",
        "fps",
        "min_frames"
      ]
    },
    "TrimmedSampling": {
      "type": "object",
      "properties": {
        "kind": {
          "enum": [
            "trimmed"
          ]
        },
        "max_frames": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        },
        "fps": {
          "type": "number",
          "exclusiveMinimum": 0,
          "maximum": 1000000.0
        },
        "skip_seconds": {
          "type": "number",
          "minimum": 0,
          "maximum": 1000000.0
        }
      },
      "required": [
        "kind",
        "max_frames",
        "fps",
        "skip_seconds"
      ]
    },
    "CentredSampling": {
      "type": "object",
      "properties": {
        "kind": {
          "enum": [
            "centred"
          ]
        },
        "max_frames": {
          "type": "integer",
          "minimum": 1,
          "maximum": 16777216
        }
      },
      "required": [
        "kind",
        "max_frames"
      ]
    },
    "ClipMarkup": {
      "type": "object",
      "properties": {
        "moment": {
          "type": "array",
          "items": {
            "$ref": "#/$defs/Segment"
          }
        },
        "begin": {
          "type": "array",
          "items": {
            "$ref": "#/$defs/Segment"
          }
        },
        "between": {
          "type": "array",
          "items": {
            "$ref": "#/$defs/Segment"
          }
        },
        "end": {
          "type": "array",
          "items": {
            "$ref": "#/$defs/Segment"
          }
        }
      },
      "required": [
        "moment"
      ]
    },
    "ClipPixels": {
      "type": "object",
      "properties": {
        "fewest": {
          "type": "integer",
          "minimum": 1,
          "maximum": 268435456
        },
        "most": {
          "type": "integer",
          "minimum": 1,
          "maximum": 268435456
        }
      },
      "required": [
        "fewest",
        "most"
      ]
    }
  }
};
