"""Random models of the released architectures, a few channels wide, on disk."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import BertProcessing
from transformers import (
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    Idefics3ForConditionalGeneration,
    Sam2VideoConfig,
    Sam2VideoModel,
    SmolVLMForConditionalGeneration,
)

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
WORDS = ["a", "red", "car", "person", "the", "robot", "##s", "arm", "bus", "tree"]


def bert_tokenizer():
    """A WordPiece tokenizer with the special tokens where Grounding DINO has them."""
    names = [f"[unused{at}]" for at in range(1030)]
    names[0], names[100], names[101], names[102] = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
    names[1012], names[1029] = ".", "?"
    names[200 : 200 + len(WORDS)] = WORDS
    vocabulary = {name: at for at, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    return tokenizer


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory):
    """What WORLDWEAVE_GROUNDING names: three models as transformers saves them."""
    folder = tmp_path_factory.mktemp("models")
    save_detector(folder / "grounding-dino")
    save_tracker(folder / "sam2")
    save_judge(folder / "vlm")
    return folder


@pytest.fixture(scope="session")
def newer_folder(tmp_path_factory):
    """The next generation of two of them: SAM 2.1 and SmolVLM2."""
    folder = tmp_path_factory.mktemp("newer")
    save_tracker(folder / "sam2", is_2_1=True)
    save_judge(folder / "vlm", SmolVLMForConditionalGeneration)
    return folder


def save_detector(folder):
    torch.manual_seed(0)
    config = GroundingDinoConfig(
        backbone_config={
            "model_type": "swin",
            "image_size": 64,
            "window_size": 4,
            "embed_dim": 8,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 1, 2, 2],
            "out_indices": [2, 3, 4],
        },
        text_config={
            "model_type": "bert",
            "vocab_size": 1030,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
        },
        d_model=32,
        num_queries=8,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_feature_levels=4,
    )
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    bert_tokenizer().save(str(folder / "tokenizer.json"))
    size = {"shortest_edge": 96, "longest_edge": 200}
    write(folder / "preprocessor_config.json", **IMAGENET, size=size, resample=2)


def save_tracker(folder, *, is_2_1=False):
    """SAM 2, or 2.1, which has two more embeddings."""
    config = Sam2VideoConfig(
        vision_config={
            "model_type": "sam2_vision_model",
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "image_size": [64, 64],
                "hidden_size": 8,
                "num_attention_heads": 1,
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 1, 2, 2],
                "window_size_per_stage": [4, 4, 4, 4],
                "window_positional_embedding_background_size": [4, 4],
                "global_attention_blocks": [3],
            },
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": 128,
        },
        prompt_encoder_config={"hidden_size": 128, "image_size": 64},
        mask_decoder_config={
            "hidden_size": 128,
            "mlp_dim": 16,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
        image_size=64,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=16,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=16,
        num_maskmem=3,
        max_object_pointers_in_encoder=4,
        enable_occlusion_spatial_embedding=is_2_1,
        enable_temporal_pos_encoding_for_object_pointers=is_2_1,
    )
    model = Sam2VideoModel(config)
    torch.manual_seed(4)
    for parameter in model.parameters():  # some begin at zero, which would hide them
        torch.nn.init.normal_(parameter, std=0.3)
    # By chance it may say of everything that it is not there.
    model.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(30)
    model.save_pretrained(folder)
    write(folder / "preprocessor_config.json", **IMAGENET, resample=2)


def save_judge(folder, kind=Idefics3ForConditionalGeneration):
    special = [
        "<|im_start|>",
        "<end_of_utterance>",
        "<image>",
        "<fake_token_around_image>",
    ]
    if kind is SmolVLMForConditionalGeneration:
        special.append("<global-img>")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {name: at for at, name in enumerate([*letters, "Ġf", "Ġb"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Ġ", "f"), ("Ġ", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    torch.manual_seed(2)
    config = kind.config_class(
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 4,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": tokenizer.get_vocab_size(),
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "pad_token_id": 0,
        },
        scale_factor=2,
        image_token_id=tokenizer.token_to_id("<image>"),
        pad_token_id=0,
    )
    model = kind(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    write(
        folder / "preprocessor_config.json",
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        resample=1,
        size={"longest_edge": 64},
        max_image_size={"longest_edge": 32},
    )


def write(path, **entries):
    path.write_text(json.dumps(entries))


@pytest.fixture(scope="session")
def video():
    """Five frames (5, 46, 70, 3) of a box that drives over noise."""
    frames = np.random.default_rng(0).integers(0, 255, (5, 46, 70, 3), np.uint8)
    for at, frame in enumerate(frames):
        frame[20:35, 5 + 6 * at : 25 + 6 * at] = (200, 40, 30)
    return frames


@pytest.fixture
def here(models_folder, monkeypatch):
    """The models where the plugin looks for them, and no other setting."""
    monkeypatch.setenv("WORLDWEAVE_GROUNDING", str(models_folder))
    monkeypatch.setenv("WORLDWEAVE_GROUNDING_DEVICE", "cpu")
    monkeypatch.setenv("WORLDWEAVE_GROUNDING_INSTANCES", "2")
    return models_folder
