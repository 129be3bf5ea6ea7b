"""Every public name of the book's API: what 18.7 lists and what the sections save."""
import pytest

import d2l
from chapters.sections import all_sections
from ci import build_lib

# section -> names, in the book's order
API = {
    '0.1': 'collections defaultdict display math plt autograd context gluon image init np npx nn '
           'rnn os pd random re shutil sys tarfile time zipfile',
    '2.2': 'mkdir_if_not_exist',
    '2.4': 'use_svg_display set_figsize set_axes plot',
    '3.1': 'Timer',
    '3.2': 'synthetic_data linreg squared_loss sgd',
    '3.3': 'load_array',
    '3.5': 'get_fashion_mnist_labels show_images get_dataloader_workers '
           'load_data_fashion_mnist',
    '3.6': 'accuracy evaluate_accuracy Accumulator train_epoch_ch3 Animator train_ch3 '
           'predict_ch3',
    '4.4': 'evaluate_loss',
    '4.10': 'DATA_HUB DATA_URL download download_extract download_all',
    '5.6': 'try_gpu try_all_gpus',
    '6.2': 'corr2d',
    '6.6': 'evaluate_accuracy_gpu train_ch5',
    '7.6': 'Residual',
    '8.2': 'read_time_machine tokenize Vocab count_corpus load_corpus_time_machine',
    '8.3': 'seq_data_iter_random seq_data_iter_consecutive SeqDataLoader '
           'load_data_time_machine',
    '8.5': 'RNNModelScratch predict_ch8 grad_clipping train_epoch_ch8 train_ch8',
    '8.6': 'RNNModel',
    '9.5': 'read_data_nmt preprocess_nmt tokenize_nmt trim_pad build_array load_data_nmt',
    '9.6': 'Encoder Decoder EncoderDecoder',
    '9.7': 'Seq2SeqEncoder Seq2SeqDecoder MaskedSoftmaxCELoss train_s2s_ch9 predict_s2s_ch9',
    '10.1': 'masked_softmax DotProductAttention MLPAttention',
    '10.3': 'MultiHeadAttention transpose_qkv transpose_output PositionWiseFFN AddNorm '
           'PositionalEncoding EncoderBlock TransformerEncoder',
    '11.1': 'annotate',
    '11.3': 'train_2d show_trace_2d',
    '11.5': 'get_data_ch11 train_ch11 train_gluon_ch11',
    '12.1': 'benchmark',
    '12.5': 'split_batch',
    '12.6': 'resnet18 evaluate_accuracy_gpus',
    '13.1': 'train_batch_ch13 train_ch13',
    '13.3': 'bbox_to_rect',
    '13.4': 'show_bboxes',
    '13.6': 'load_data_pikachu',
    '13.9': 'read_voc_images VOC_COLORMAP VOC_CLASSES build_colormap2label voc_label_indices '
           'voc_rand_crop VOCSegDataset load_data_voc',
    '13.13': 'read_csv_labels copyfile reorg_train_valid reorg_test',
    '14.3': 'read_ptb subsampling get_centers_and_contexts RandomGenerator get_negatives '
           'batchify load_data_ptb',
    '14.8': 'read_imdb load_data_imdb',
    '14.9': 'predict_sentiment',
    '14.11': 'read_snli SNLIDataset load_data_snli',
    '14.12': 'split_batch_multi_inputs predict_snli',
    '15.2': 'read_data_ml100k split_data_ml100k load_data_ml100k split_and_load_ml100k',
    '15.3': 'train_recsys_rating',
    '15.5': 'BPRLoss HingeLossbRec',
    '15.6': 'hit_and_auc evaluate_ranking train_ranking',
    '15.8': 'CTRDataset',
    '16.1': 'update_D update_G',
}


@pytest.mark.parametrize('section, name', [(section, name) for section, names in API.items()
                                           for name in names.split()])
def test_name_is_there(section, name):
    assert hasattr(d2l, name), f'{name} is saved in section {section}'


@pytest.mark.parametrize('name', [
    name for names in API.values() for name in names.split() if hasattr(d2l, name)
    and getattr(getattr(d2l, name), '__module__', None) in ('d2l.book', *(
        module for module, _ in build_lib.BY_HAND.values()))])
def test_name_has_a_docstring(name):
    assert getattr(d2l, name).__doc__.strip()


def test_every_section_of_the_table_exists():
    assert API.keys() <= {section.number for section in all_sections()}


def test_the_book_and_the_library_share_one_data_hub():
    import d2l.book
    import d2l.data
    assert d2l.book.DATA_HUB is d2l.data.DATA_HUB is d2l.DATA_HUB
