"""The mechanisms of the methods, the code that takes each one out, and the tests that then fail."""

from dataclasses import dataclass

#: A function of the package, a part of its source that occurs once in it, and the new part.
Edit = tuple[str, str, str]


@dataclass(frozen=True)
class Row:
    """A mechanism that is taken out.

    Attributes:
        mechanism (str): What is taken out.
        edits (tuple): The changes of the code.
        tests (tuple): The tests that must fail, each with the name of its file.
    """

    mechanism: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def row(mechanism: str, edit: Edit, *tests: str, also: tuple[Edit, ...] = ()) -> Row:
    return Row(mechanism, (edit, *also), tests)


# Functions that several rows change.
HVPNET = "network.methods.hvpnet:PyramidPrefixes"
UMT = "network.methods.umt:Umt.compute"
MAF = "network.methods.maf:Maf"
FUSION = "network.graph_fusion:GraphFusionLayer.forward"
UAMNER = "network.methods.uamner:Uamner"
M3S = "network.methods.m3s_like:M3sLike.compute"
SMVAE = "network.methods.smvae:Smvae"
MNER_QG = "network.methods.mner_qg:MnerQg"
RGCN = "network.methods.rgcn:RGcn.compute"
GRAPH = "network.methods.rgcn:NeighbourGraph.forward"
TEXT_CRF = "network.methods.text_crf:TextCrf"
TIE = "network.decoder:tied_losses"
CROSS = "network.cross:CrossLayer.forward"
GATE = "network.interaction:TokenGate.forward"

# Tests that hold for every method.
SAME_SCORES = "test_contract.py::test_without_views_the_parameters_of_views_do_not_matter[{}]"
NO_GRADIENT = (
    "test_contract.py::"
    "test_without_views_the_parameters_of_views_get_no_gradient_from_the_scores[{}]"
)
ALONE = "test_contract.py::test_a_post_in_a_batch_equals_that_post_alone[{}]"
UNLABELLED = (
    "test_contract.py::test_posts_without_any_label_cost_nothing_where_labels_are_needed[{}]"
)
STATISTICS = "test_contract.py::test_the_statistics_of_a_backbone_stay_while_the_network_trains[{}]"
ACCUMULATED = "test_contract.py::test_accumulated_posts_equal_a_batch[{}]"


def of(test: str, *methods: str) -> tuple[str, ...]:
    return tuple(test.format(method) for method in methods)


#: Method, or what several methods share, to its mechanisms.
TABLE: dict[str, tuple[Row, ...]] = {
    "text-only": (
        row(
            "the mask on the prefixes of absent views",
            (
                "network.prefix:PrefixGenerator.forward",
                "present.repeat_interleave(self.length, dim=1)",
                "present.repeat_interleave(self.length, dim=1) | True",
            ),
            "test_text_crf.py::test_the_tagger_equals_msvse_with_every_view_absent",
        ),
    ),
    "MSB": (
        row(
            "the tags after the text",
            (f"{TEXT_CRF}.compute", "self.encoder(inputs.joint)", "self.encoder(inputs.text)"),
            "test_text_crf.py::test_other_words_behind_the_text_change_its_scores[MSB]",
        ),
        row(
            "the mask on absent words behind the text",
            (
                f"{TEXT_CRF}.compute",
                "self.encoder(inputs.joint)",
                "self.encoder(type(inputs.joint)(inputs.joint.ids, inputs.joint.mask"
                " | bool(self.config.joint_views), inputs.joint.token_types))",
            ),
            "test_text_crf.py::"
            "test_without_words_behind_the_text_the_scores_are_those_of_a_text_tagger[MSB]",
        ),
        row(
            "the gate (a part for other methods: MSB is built without it)",
            (GATE, "torch.sigmoid(self.linear(torch.cat([own, other], dim=-1))) * other", "other"),
            "test_shared_parts.py::test_a_vector_behind_a_closed_gate_gets_no_gradient",
        ),
    ),
    "ITA": (
        row(
            "the teacher without gradient",
            (TIE, "teacher.detach()", "teacher"),
            "test_text_crf.py::test_the_tie_reaches_the_encoder_only_through_the_text_alone[True]",
            also=((TIE, "all_t.detach()", "all_t"),),
        ),
        row(
            "the teacher's transitions without gradient (a fault of a public copy)",
            (
                TIE,
                "teacher.detach()",
                "type(teacher)(teacher.emissions.detach(), teacher.transitions, "
                "teacher.start, teacher.end, teacher.mask)",
            ),
            "test_text_crf.py::test_the_tie_reaches_the_encoder_only_through_the_text_alone[False]",
        ),
        row(
            "the divergence",
            (f"{TEXT_CRF}.loss", "config.tie_loss_weight * tie", "0 * tie"),
            "test_text_crf.py::test_the_tie_teaches_the_text_alone_what_only_the_caption_says",
        ),
        row(
            "the temperature of the marginals",
            (TIE, "if temperature != 1.0:", "if False:"),
            "test_shared_parts.py::test_the_tie_is_the_divergence_of_the_tempered_marginals[4.0]",
        ),
        row(
            "one decoder for both encodings",
            (
                f"{TEXT_CRF}.__init__",
                "config.text_view and not config.shared_decoder",
                "config.text_view",
            ),
            "test_text_crf.py::test_a_shared_decoder_scores_equal_encodings_equally[True]",
        ),
        row(
            "the place of the text before its contexts",
            (
                "component.encode:PieceEncoder._window",
                "self.layout.pair(ids, joined, self.max_length)",
                "self.layout.pair(joined, ids, self.max_length)",
            ),
            "../component/test_encode.py::test_the_joint_text_stands_where_the_plain_text_stands",
        ),
    ),
    "PGIM": (
        row(
            "the knowledge after the text",
            (f"{TEXT_CRF}.compute", "self.encoder(inputs.joint)", "self.encoder(inputs.text)"),
            "test_text_crf.py::test_other_words_behind_the_text_change_its_scores[PGIM]",
        ),
        row(
            "the mask on absent words behind the text",
            (
                f"{TEXT_CRF}.compute",
                "self.encoder(inputs.joint)",
                "self.encoder(type(inputs.joint)(inputs.joint.ids, inputs.joint.mask"
                " | bool(self.config.joint_views), inputs.joint.token_types))",
            ),
            "test_text_crf.py::"
            "test_without_words_behind_the_text_the_scores_are_those_of_a_text_tagger[PGIM]",
        ),
        row(
            "the CRF over the text alone (a fault of the public code)",
            (
                f"{TEXT_CRF}.compute",
                "self.decoder(token_vectors(self.encoder(inputs.joint), inputs), mask)",
                "self.decoder(self.encoder(inputs.joint), inputs.joint.mask)",
            ),
            "test_text_crf.py::test_only_the_tokens_of_the_text_are_labelled[PGIM]",
        ),
    ),
    "HvpNet": (
        row(
            "the softmax of the gate",
            (
                f"{HVPNET}.level_weights",
                "torch.softmax(functional.leaky_relu(gate(mean)), dim=2)",
                "torch.sigmoid(functional.leaky_relu(gate(mean)))",
            ),
            "test_hvpnet.py::test_the_weights_of_the_levels_add_up_to_1_and_differ_between_layers",
        ),
        row(
            "the gate of each layer: all levels weigh the same",
            (
                f"{HVPNET}.level_weights",
                "torch.softmax(functional.leaky_relu(gate(mean)), dim=2)",
                "torch.softmax(0 * gate(mean), dim=2)",
            ),
            "test_hvpnet.py::test_the_weights_of_the_levels_add_up_to_1_and_differ_between_layers",
            "test_hvpnet.py::test_a_level_that_every_gate_closes_does_not_matter",
        ),
        row(
            "the mask on absent crops",
            (
                f"{HVPNET}.divide",
                "return vectors, counts > 0, slot",
                "return vectors, counts >= 0, slot",
            ),
            "test_hvpnet.py::test_an_absent_crop_equals_a_removed_one",
            "test_hvpnet.py::test_without_crops_the_scores_are_those_of_a_text_tagger",
        ),
        row(
            "the crops as a set: a crop is scaled by its place",
            (
                f"{HVPNET}.forward",
                "mean = mapped.mean(dim=3)",
                "mapped = mapped * torch.arange(crops.shape[1]).view(1, -1, 1, 1, 1); "
                "mean = mapped.mean(dim=3)",
            ),
            "test_hvpnet.py::test_the_order_of_crops_does_not_matter",
        ),
    ),
    "UMT": (
        row(
            "the matrix from boundary labels to labels: it is zero",
            (UMT, "boundary @ self.boundary_to_label", "boundary @ (0 * self.boundary_to_label)"),
            "test_umt.py::test_a_boundary_label_is_divided_evenly_among_the_types[1-labels1]",
            "test_umt.py::test_the_loss_of_the_entities_trains_the_boundary_branch",
        ),
        row(
            "the even division among the types",
            (
                UMT,
                "boundary @ self.boundary_to_label",
                "boundary @ (self.boundary_to_label > 0).float()",
            ),
            "test_umt.py::test_a_boundary_label_is_divided_evenly_among_the_types[1-labels1]",
            "test_umt.py::test_a_boundary_label_is_divided_evenly_among_the_types[2-labels2]",
        ),
        row(
            "the gradient of the entities in the boundary branch",
            (
                UMT,
                "boundary @ self.boundary_to_label",
                "boundary.detach() @ self.boundary_to_label",
            ),
            "test_umt.py::test_the_loss_of_the_entities_trains_the_boundary_branch",
        ),
        row(
            "the text states of a post without a picture",
            (CROSS, "torch.where(exists[:, None, None], states, queries)", "states"),
            "test_umt.py::test_without_a_picture_the_projections_of_regions_do_not_matter",
        ),
        row(
            "the boundary branch of the text alone",
            (
                UMT,
                "self.boundary_layer(hidden, hidden, mask)",
                'self.boundary_layer(hidden + inputs.vectors["regions"].vectors.mean(), '
                "hidden, mask)",
            ),
            "test_umt.py::test_the_boundary_branch_gets_no_gradient_from_the_picture",
        ),
    ),
    "MAF": (
        row(
            "the auxiliary losses",
            (
                f"{MAF}.loss",
                "self.config.auxiliary_loss_weight * auxiliary",
                "0 * auxiliary",
            ),
            "test_maf.py::test_the_matching_learns_to_tell_own_pictures_from_those_of_other_posts",
        ),
        row(
            "the exchange of pictures",
            (f"{MAF}._exchange", "order[first], order[second] = second, first", "pass"),
            "test_maf.py::test_posts_exchange_pictures_only_in_training",
            "test_maf.py::test_an_exchanged_picture_is_matched_with_the_text_of_the_other_post",
            "test_maf.py::test_the_matching_learns_to_tell_own_pictures_from_those_of_other_posts",
        ),
        row(
            "the exchange before the text attends (a fault of the public code)",
            (
                f"{MAF}.compute",
                "regions = Regions(",
                "regions = own or Regions(",
            ),
            "test_maf.py::test_an_exchanged_picture_is_matched_with_the_text_of_the_other_post",
            also=(
                (
                    f"{MAF}.compute",
                    "attended = attended * present[:, None, None]",
                    "attended = attended[order] * present[:, None, None]",
                ),
            ),
        ),
        row(
            "the restriction of the exchange to training",
            (
                f"{MAF}.compute",
                "self._exchange(present) if self.training else torch.arange(len(present))",
                "self._exchange(present)",
            ),
            "test_maf.py::test_posts_exchange_pictures_only_in_training",
        ),
        row(
            "the weight of the picture by the matching score",
            (f"{MAF}.compute", "score[:, None, None] * attended", "attended"),
            "test_maf.py::test_a_picture_that_does_not_match_at_all_changes_nothing",
        ),
        row(
            "the contrast of pictures alone: absent ones take part",
            (f"{MAF}._align", "present.nonzero()", "(present | True).nonzero()"),
            "test_maf.py::test_the_contrastive_loss_of_a_single_picture_is_0",
            "test_maf.py::test_posts_without_a_picture_are_in_neither_auxiliary_loss",
        ),
        row(
            "the matching of pictures alone: absent ones take part",
            (f"{MAF}.loss", "self.reduce(matching * present)", "self.reduce(matching)"),
            "test_maf.py::test_posts_without_a_picture_are_in_neither_auxiliary_loss",
        ),
    ),
    "UMGF": (
        row(
            "the objects as a set: an object is scaled by its place",
            (
                "network.methods.umgf:Umgf.compute",
                "self.object_projection(regions.vectors)",
                "self.object_projection(regions.vectors)"
                " * torch.arange(regions.mask.shape[1])[:, None]",
            ),
            "test_umgf.py::test_the_order_of_objects_does_not_matter",
        ),
        row(
            "the mask on messages of absent objects",
            (
                FUSION,
                "object_mask[:, None, :, None] * objects.unsqueeze(1)",
                "objects.unsqueeze(1)",
            ),
            "test_umgf.py::test_a_masked_object_equals_a_removed_one",
            "test_umgf.py::test_without_objects_the_text_passes_a_plain_transformer",
        ),
        row(
            "the mask on the attention to absent objects",
            (
                "network.graph_fusion:ObjectAttention.forward",
                "mask[:, None, None, :]",
                "mask[:, None, None, :] | True",
            ),
            "test_umgf.py::test_a_masked_object_equals_a_removed_one",
        ),
        row(
            "the objects of each post: all posts share theirs",
            (
                FUSION,
                "object_mask[:, None, :, None] * objects.unsqueeze(1)",
                "object_mask[:, None, :, None] * objects.mean(dim=0, keepdim=True).unsqueeze(1)",
            ),
            "test_umgf.py::test_an_object_reaches_only_its_own_post",
        ),
        row(
            "the mean over tokens in the message to an object",
            (FUSION, "message / text_mask.sum(dim=1).clamp(min=1)[:, None, None]", "message"),
            "test_umgf.py::test_the_message_to_an_object_does_not_grow_with_the_text",
        ),
    ),
    "UAMNer": (
        row(
            "the limit of uncertainty: every token is labelled again",
            (
                f"{UAMNER}.compute",
                "(uncertainty > self.config.max_uncertainty)",
                "(uncertainty > -1)",
            ),
            "test_uamner.py::"
            "test_without_a_limit_the_answer_is_that_of_the_text_whatever_the_picture",
            "test_uamner.py::test_a_picture_changes_only_the_uncertain_tokens",
        ),
        row(
            "the picture in the second stage",
            (f"{UAMNER}.compute", "self.gate(states, seen)", "0 * self.gate(states, seen)"),
            "test_uamner.py::test_a_picture_changes_only_the_uncertain_tokens",
        ),
        row(
            "the entropy as the uncertainty",
            (
                f"{UAMNER}.compute",
                "-torch.special.xlogy(probabilities, probabilities).sum(dim=2)",
                "probabilities.sum(dim=2)",
            ),
            "test_uamner.py::"
            "test_a_label_that_is_planted_half_the_time_is_more_uncertain_than_a_clear_one",
        ),
        row(
            "the dropout of the samples",
            (
                f"{UAMNER}.sample_labels",
                "hidden.to(head.weight.dtype) * mask",
                "hidden.to(head.weight.dtype)",
            ),
            "test_uamner.py::test_the_samples_leave_out_features",
        ),
        row(
            "the samples that are drawn once: each prediction draws its own",
            (
                f"{UAMNER}.sample_labels",
                "in self.sample_masks:",
                "in torch.dropout(torch.ones_like(self.sample_masks), 0.1, True):",
            ),
            "test_uamner.py::test_the_samples_are_the_same_in_each_prediction_and_each_copy",
        ),
        row(
            "the seed of the samples",
            (f"{UAMNER}.__init__", "torch.Generator().manual_seed(0)", "None"),
            "test_uamner.py::test_the_samples_are_the_same_in_each_prediction_and_each_copy",
        ),
    ),
    "M3S": (
        row(
            "the boundaries that guide the entity labels",
            (
                M3S,
                "self.boundary_vectors(torch.softmax(boundary, dim=2).to(hidden.dtype))",
                "0 * self.boundary_vectors(torch.softmax(boundary, dim=2).to(hidden.dtype))",
            ),
            "test_m3s_like.py::test_a_token_outside_of_every_boundary_is_no_entity_after_training",
        ),
        row(
            "the boundaries of the text alone",
            (
                M3S,
                "self.boundary_decoder.score(hidden)",
                'self.boundary_decoder.score(hidden + inputs.vectors["regions"].vectors.mean())',
            ),
            "test_m3s_like.py::test_the_boundaries_get_no_gradient_from_the_picture",
        ),
        row(
            "the mask on absent grains",
            (
                M3S,
                "masked_softmax(scores, torch.stack(present, dim=1).unsqueeze(1))",
                "torch.softmax(scores, dim=2)",
            ),
            "test_m3s_like.py::"
            "test_an_absent_grain_has_no_weight_and_the_others_add_up_to_1[2-0-present1]",
            "test_m3s_like.py::"
            "test_an_absent_grain_has_no_weight_and_the_others_add_up_to_1[0-0-present4]",
        ),
        row(
            "the softmax over grains",
            (M3S, "masked_softmax(scores, ", "(torch.sigmoid(scores) * "),
            "test_m3s_like.py::"
            "test_an_absent_grain_has_no_weight_and_the_others_add_up_to_1[4-3-present0]",
        ),
    ),
    "SMVAE": (
        row(
            "the weights of the experts: the mean of both means",
            (
                "network.methods.smvae:product_of_experts",
                "(text[0] * precision + picture[0] * other) / total",
                "(text[0] + picture[0]) / 2",
            ),
            "test_smvae.py::test_the_product_of_experts_is_the_closed_form",
        ),
        row(
            "the sum of the precisions",
            ("network.methods.smvae:product_of_experts", "-total.log()", "-precision.log()"),
            "test_smvae.py::test_the_product_of_experts_is_the_closed_form",
        ),
        row(
            "the text as the only expert without a picture",
            (
                "network.methods.smvae:product_of_experts",
                "torch.where(seen, mean, text[0]), torch.where(seen, -total.log(), text[1])",
                "mean, -total.log()",
            ),
            "test_smvae.py::test_the_product_of_experts_is_the_closed_form",
        ),
        row(
            "the mask on the reconstruction of absent pictures",
            (
                f"{SMVAE}.compute",
                "(picture_again - shown).square().mean(dim=1) * seen[:, 0]",
                "(picture_again - shown).square().mean(dim=1)",
            ),
            "test_smvae.py::test_an_absent_picture_has_no_reconstruction_and_no_divergence",
        ),
        row(
            "the mask on the divergence of absent pictures",
            (f"{SMVAE}.compute", "_divergence(picture) * seen[:, 0]", "_divergence(picture)"),
            "test_smvae.py::test_an_absent_picture_has_no_reconstruction_and_no_divergence",
        ),
        row(
            "the states without gradient",
            (f"{SMVAE}.compute", "hidden.detach()", "hidden"),
            "test_smvae.py::test_the_reconstructions_train_the_encoder_only_through_the_labels",
        ),
        row(
            "the mean at prediction: it samples",
            (f"{SMVAE}._draw", "if not self.training:", "if False:"),
            "test_smvae.py::test_a_prediction_is_always_the_same_and_a_training_step_is_not",
        ),
        row(
            "the sample in training: it takes the mean",
            (f"{SMVAE}._draw", "if not self.training:", "if True:"),
            "test_smvae.py::test_a_prediction_is_always_the_same_and_a_training_step_is_not",
        ),
        row(
            "the candidates that are no entities: they are dropped (a fault of the public code)",
            (
                f"{SMVAE}.loss",
                "answer, extra, config = outputs.answer, outputs.extra, self.config",
                "answer, extra, config = outputs.answer, outputs.extra, self.config; "
                "kept = ~targets.allowed[answer.spans[:, 0], answer.spans[:, 1], 0]; "
                "outputs.answer = type(answer)(answer.spans[kept], answer.scores[kept])",
            ),
            "test_smvae.py::test_the_candidates_do_not_depend_on_gold_labels",
        ),
    ),
    "MNER-QG": (
        row(
            "the query of each type: all share the first",
            (f"{MNER_QG}._encode", "queries.ids[query, :length]", "queries.ids[0, :length]"),
            "test_mner_qg.py::test_a_changed_query_moves_only_the_labels_of_its_type",
        ),
        row(
            "the existence in the scores of the labels",
            (
                f"{MNER_QG}.compute",
                "relative + functional.logsigmoid(existence)[:, None, None]",
                "relative",
            ),
            "test_mner_qg.py::test_a_type_that_does_not_occur_is_suppressed",
        ),
        row(
            "the loss of the existence",
            (
                f"{MNER_QG}.loss",
                'self.config.existence_loss_weight * terms["existence"]',
                '0 * terms["existence"]',
            ),
            "test_mner_qg.py::test_training_lowers_the_existence_of_types_that_do_not_occur",
        ),
        row(
            "the loss of the grounding",
            (
                f"{MNER_QG}.loss",
                'self.config.grounding_loss_weight * terms["grounding"]',
                '0 * terms["grounding"]',
            ),
            "test_mner_qg.py::test_the_grounding_finds_a_planted_box",
        ),
        row(
            "the restriction of the grounding to posts with drawn boxes",
            (
                f"{MNER_QG}.loss",
                'total = terms["entities"]',
                'terms["grounding"] = -extra["grounding"].amax(dim=2).log().sum(); '
                'total = terms["entities"]',
            ),
            "test_mner_qg.py::test_without_drawn_boxes_there_is_no_grounding_loss",
        ),
        row(
            "the least weight of a region in the grounding",
            (f"{MNER_QG}.loss", ".clamp(min=1e-9)", ""),
            "test_mner_qg.py::test_boxes_that_no_region_overlaps_cost_nothing",
        ),
        row(
            "the mask on types without a region in the grounding",
            (f"{MNER_QG}.loss", "(-weight.log() * grounded)", "(-weight.log())"),
            "test_mner_qg.py::test_boxes_that_no_region_overlaps_cost_nothing",
        ),
    ),
    "R-GCN": (
        row(
            "the graph convolution: the message has another form",
            (GRAPH, "torch.relu(self.linear(", "torch.tanh(self.linear("),
            "test_rgcn.py::test_one_neighbour_of_similarity_1_is_a_plain_map_of_its_picture",
        ),
        row(
            "the star: neighbours are also linked in a row",
            (
                GRAPH,
                "adjacency[:, 0, 0] = similarities[:, 0]",
                "adjacency[:, 0, 0] = similarities[:, 0]; "
                "adjacency = adjacency + torch.ones_like(adjacency[0]).triu(1).tril(1)",
            ),
            "test_rgcn.py::test_the_order_of_all_but_the_nearest_does_not_matter",
        ),
        row(
            "the mask on absent neighbours",
            (GRAPH, "states * mask.unsqueeze(2)", "states"),
            "test_rgcn.py::test_a_masked_neighbour_equals_a_removed_one",
        ),
        row(
            "the neighbours from training posts alone: those of the batch are found too",
            (
                RGCN,
                "by_text, by_picture = self.index.nearest(",
                "self.index.fill(counts, means); by_text, by_picture = self.index.nearest(",
            ),
            "test_rgcn.py::test_neighbours_come_from_the_training_posts_alone",
        ),
        row(
            "the exclusion of the post itself",
            (
                "network.neighbours:PostIndex.nearest",
                "scores.masked_fill(scores > SAME, -2.0)",
                "scores",
            ),
            "test_rgcn.py::test_a_post_is_not_its_own_neighbour",
        ),
        row(
            "the messages of neighbours",
            (RGCN, "if len(self.index):", "if False:"),
            "test_rgcn.py::test_neighbours_change_the_scores_and_are_saved_with_the_weights",
        ),
    ),
    "MSVSE": (
        row(
            "the prefixes",
            (
                "network.methods.msvse:Msvse.compute",
                "prefixes = self.prefixes(semantics)",
                "prefixes = None",
            ),
            "test_msvse.py::test_every_view_changes_the_scores",
        ),
        row(
            "the mask on absent views in the gate of the prefixes",
            (
                "network.prefix:PrefixGenerator._gate",
                "present.unsqueeze(0)",
                "present.unsqueeze(0) | True",
            ),
            "test_msvse.py::test_no_view_present_gives_no_nan_and_prefixes_of_zero",
        ),
        row(
            "the text that does not attend to the caption in shared layers",
            (
                "network.base:Network.encode_lower_layers",
                "torch.where(before.unsqueeze(2), before.unsqueeze(1), "
                "inputs.joint.mask.unsqueeze(1))",
                "inputs.joint.mask",
            ),
            "test_msvse.py::test_the_text_features_do_not_depend_on_the_picture[0.67]",
        ),
        row(
            "the teacher without gradient",
            (TIE, "teacher.detach()", "teacher"),
            "test_msvse.py::test_tie_trains_only_the_text_decoder",
            also=((TIE, "all_t.detach()", "all_t"),),
        ),
    ),
    "shared parts": (
        row(
            "N1: the queries in a row without vectors to read",
            (CROSS, "torch.where(exists[:, None, None], states, queries)", "states"),
            "test_shared_parts.py::test_a_cross_layer_without_vectors_to_read_returns_the_queries",
        ),
        row(
            "N1: the mask on the vectors to read",
            (CROSS, "mask | ~exists[:, None]", "torch.ones_like(mask)"),
            "test_shared_parts.py::test_a_cross_layer_reads_the_vectors_in_the_mask",
        ),
        row(
            "N1: the sum with the queries",
            (CROSS, "queries + self.dropout(attended)", "self.dropout(attended)"),
            "test_shared_parts.py::"
            "test_a_cross_layer_of_vectors_with_themselves_is_the_layer_of_pytorch",
        ),
        row(
            "N2: the product with the gated vector",
            (GATE, "dim=-1))) * other", "dim=-1)))"),
            "test_shared_parts.py::test_a_gate_lets_nothing_of_an_absent_vector_through",
        ),
        row(
            "N5: the inner boundary labels",
            ("network.boundaries:boundary_targets", "allowed[..., 2::2]", "allowed[..., 1::2]"),
            "test_shared_parts.py::"
            "test_the_targets_of_boundaries_are_those_of_the_labels_without_types",
        ),
        row(
            "N8: the greatest length of a span",
            (
                "network.span_candidates:list_spans",
                "torch.arange(1, max_tokens + 1, ",
                "torch.arange(1, mask.shape[1] + 1, ",
            ),
            "test_smvae.py::test_all_short_spans_are_candidates",
        ),
        row(
            "N8: the entities without overlap",
            ("network.spans:ScoredSpans.best_entities", "taken.isdisjoint(tokens)", "True"),
            "test_methods.py::"
            "test_overlapping_spans_are_dropped_and_probabilities_are_those_of_the_softmax",
        ),
    ),
    "every method": (
        row(
            "absent pictures: their zero (UMT)",
            (UMT, "pictured * present", "pictured"),
            *of(SAME_SCORES, "umt-absent"),
            *of(NO_GRADIENT, "umt-absent"),
        ),
        row(
            "absent pictures: their zero (MAF)",
            (f"{MAF}.compute", "attended = attended * present[:, None, None]", "pass"),
            *of(SAME_SCORES, "maf-absent"),
            *of(NO_GRADIENT, "maf-absent"),
        ),
        row(
            "absent pictures: the text states",
            (CROSS, "torch.where(exists[:, None, None], states, queries)", "states"),
            *of(SAME_SCORES, "umt-mixed", "rgcn-mixed", "mner_qg-mixed"),
            *of(NO_GRADIENT, "umt-mixed", "rgcn-mixed", "mner_qg-mixed"),
        ),
        row(
            "absent pictures: the text as the only expert (SMVAE)",
            (
                "network.methods.smvae:product_of_experts",
                "torch.where(seen, mean, text[0]), torch.where(seen, -total.log(), text[1])",
                "mean, -total.log()",
            ),
            *of(SAME_SCORES, "smvae-absent"),
            *of(NO_GRADIENT, "smvae-absent"),
        ),
        row(
            "absent pictures: the mask on prefixes (HvpNet)",
            (
                f"{HVPNET}.divide",
                "return vectors, counts > 0, slot",
                "return vectors, counts >= 0, slot",
            ),
            *of(SAME_SCORES, "hvpnet-absent"),
            *of(NO_GRADIENT, "hvpnet-absent"),
        ),
        row(
            "absent pictures: no message from neighbours (R-GCN)",
            (RGCN, ".unsqueeze(1) * present", ".unsqueeze(1)"),
            *of(SAME_SCORES, "rgcn-absent"),
            *of(NO_GRADIENT, "rgcn-absent"),
        ),
        row(
            "absent pictures: the mask on the grounding (MNER-QG)",
            (f"{MNER_QG}.compute", "projected), regions.mask", "projected), regions.mask | True"),
            *of(SAME_SCORES, "mner_qg-absent"),
            *of(NO_GRADIENT, "mner_qg-absent"),
        ),
        row(
            "absent pictures: the mask on prefixes (MSVSE)",
            (
                "network.prefix:PrefixGenerator.forward",
                "present.repeat_interleave(self.length, dim=1)",
                "present.repeat_interleave(self.length, dim=1) | True",
            ),
            *of(SAME_SCORES, "msvse-absent"),
            *of(NO_GRADIENT, "msvse-absent"),
        ),
        row(
            "absent pictures: the mask on messages (UMGF)",
            (
                FUSION,
                "object_mask[:, None, :, None] * objects.unsqueeze(1)",
                "objects.unsqueeze(1)",
            ),
            *of(SAME_SCORES, "umgf-absent"),
            *of(NO_GRADIENT, "umgf-absent"),
        ),
        row(
            "absent pictures: their zero (UAMNer)",
            (f"{UAMNER}.compute", "regions.mask) * present", "regions.mask)"),
            *of(SAME_SCORES, "uamner-absent"),
            *of(NO_GRADIENT, "uamner-absent"),
        ),
        row(
            "absent pictures: their zero, and the mask on absent grains (M3S)",
            (
                M3S,
                "layer(hidden, vectors, exists) * present[-1][:, None, None]",
                "layer(hidden, vectors, exists)",
            ),
            *of(SAME_SCORES, "m3s_like-absent"),
            *of(NO_GRADIENT, "m3s_like-absent"),
            also=(
                (
                    M3S,
                    "masked_softmax(scores, torch.stack(present, dim=1).unsqueeze(1))",
                    "torch.softmax(scores, dim=2)",
                ),
            ),
        ),
        row(
            "a post alone: the mask on padding in attention between tokens",
            (CROSS, "mask | ~exists[:, None]", "torch.ones_like(mask)"),
            *of(ALONE, "umt", "uamner", "rgcn"),
        ),
        row(
            "a post alone: the mask on padding in the encoder",
            (
                "network.encoders.base:Encoder.run",
                "mask[:, None, None, :] if mask.dim() == 2",
                "(mask | True)[:, None, None, :] if mask.dim() == 2",
            ),
            *of(ALONE, "text_crf", "hvpnet", "mner_qg", "smvae"),
        ),
        row(
            "a post alone: the mask on padding in means",
            (
                "network.decoder:token_mean",
                "mask if values.ndim == 2 else mask.unsqueeze(2)",
                "torch.ones_like(mask if values.ndim == 2 else mask.unsqueeze(2))",
            ),
            *of(ALONE, "maf"),
        ),
        row(
            "a post alone: the LSTM without padding",
            (f"{SMVAE.split(':')[0]}:_run", "mask.sum(dim=1)", "(mask | True).sum(dim=1)"),
            *of(ALONE, "smvae"),
        ),
        row(
            "a post alone: the mask on padding in the fusion",
            (FUSION, "text_mask | ~exists", "torch.ones_like(text_mask)"),
            *of(ALONE, "umgf"),
        ),
        row(
            "the loss of a batch: the sum over posts",
            ("network.base:Network.reduce", "losses.sum()", "losses.mean()"),
            *of(ACCUMULATED, "msvse", "umt", "mner_qg"),
        ),
        row(
            "missing labels: the sum over all labels (O is taken)",
            (
                "network.crf:negative_log_likelihood",
                "lattice.restrict(allowed)",
                "lattice.restrict(allowed & "
                "(~allowed.all(dim=2, keepdim=True) | (torch.arange(allowed.shape[2]) == 0)))",
            ),
            *of(UNLABELLED, "msvse", "text_crf", "umt", "maf", "mner_qg"),
        ),
        row(
            "missing labels: the spans that are left out (SMVAE)",
            (
                "network.span_candidates:span_choices",
                "torch.where(mask.unsqueeze(2), allowed, outside)",
                "torch.where((mask & ~allowed.all(dim=2)).unsqueeze(2), allowed, outside)",
            ),
            *of(UNLABELLED, "smvae"),
        ),
        row(
            "missing labels: the types that are left out (MNER-QG)",
            (f"{MNER_QG}.loss", "targets.types_known.float()", "targets.entity_types * 0 + 1"),
            *of(UNLABELLED, "mner_qg"),
        ),
        row(
            "missing labels: the types that are left out (MSVSE)",
            (
                "network.decoder:visual_loss",
                "present.unsqueeze(2) & known.unsqueeze(1)",
                "present.unsqueeze(2) & (known | True).unsqueeze(1)",
            ),
            *of(UNLABELLED, "msvse"),
        ),
        row(
            "a backbone: its evaluation mode in training",
            (
                "vision.extractors.frozen:Frozen.train",
                "super().train(False)",
                "super().train(mode)",
            ),
            *of(STATISTICS, "msvse", "umt", "smvae"),
        ),
    ),
}
