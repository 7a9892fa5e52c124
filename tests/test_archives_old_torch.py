"""Files of torch.save before version 1.6: read as numbers, never run."""

import pathlib
import pickle

import numpy as np
import pytest

from jaxsep.archives import old_torch_tensors

MAGIC, VERSION, SYSTEM = 0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}


def part(value):
    """The opcodes of a value inside a pickle."""
    return pickle.dumps(value, 2)[2:-1]


def tensor(key, shape, strides, offset=0, kind='FloatStorage', module='torch'):
    """The opcodes of a tensor: a call of _rebuild_tensor_v2 on a storage named from outside."""
    storage = b'(' + part('storage') + f'c{module}\n{kind}\n'.encode() + part(key) + part('cpu')
    storage += part(6) + part(None) + b'tQ'
    rest = (
        part(offset) + part(shape) + part(strides) + part(False) + b'ccollections\nOrderedDict\n)R'
    )
    return b'ctorch._utils\n_rebuild_tensor_v2\n(' + storage + rest + b'tR'


def torch_file(entries, storages, magic=MAGIC):
    """A whole file: entries name -> opcodes, storages key -> numbers."""
    tree = b'\x80\x02ccollections\nOrderedDict\n)R('
    tree += b''.join(part(name) + opcodes for name, opcodes in entries.items()) + b'u.'
    pickles = [pickle.dumps(x, 2) for x in (magic, VERSION, SYSTEM)]
    data = b''.join(pickles) + tree + pickle.dumps(list(storages), 2)
    for numbers in storages.values():
        data += len(numbers).to_bytes(8, 'little') + numbers.tobytes()
    return data


NUMBERS = {'a': np.arange(6, dtype='<f4'), 'b': np.array([7], '<i8')}
ENTRIES = {
    'rows': tensor('a', (2, 3), (3, 1)),
    'columns': tensor('a', (2, 3), (1, 2)),
    'tail': tensor('a', (2,), (1,), offset=4),
    'empty': tensor('a', (0, 3), (3, 1)),
    'count': tensor('b', (), (), kind='LongStorage'),
    'epoch': part(3),
    'deeper': b'}' + part('tail') + tensor('a', (1,), (1,), offset=5) + b's',
}


def test_tensors_come_back_with_their_strides_and_share_storages():
    found = old_torch_tensors(torch_file(ENTRIES, NUMBERS))
    assert list(found) == list(ENTRIES)
    assert found['rows'].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found['columns'].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert found['tail'].tolist() == [4, 5] and found['empty'].shape == (0, 3)
    assert found['count'] == 7 and found['count'].dtype == np.int64
    assert found['epoch'] == 3 and found['deeper']['tail'].tolist() == [5]
    found['rows'][0, 0] = 9  # a copy
    assert found['columns'][0, 0] == 0


def test_a_file_that_torch_wrote_is_read(tmp_path):
    torch = pytest.importorskip('torch')
    weights = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3)).state_dict()
    weights['0.weight'] = weights['0.weight'].permute(3, 2, 0, 1)
    path = tmp_path / 'weights.pth'
    torch.save({'state': weights, 'step': 5}, path, _use_new_zipfile_serialization=False)
    found = old_torch_tensors(path.read_bytes())
    assert found['step'] == 5
    for name, values in weights.items():
        np.testing.assert_array_equal(found['state'][name], values.numpy())


class Touch:
    """Pickles as the call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_any_other_class_is_refused_and_not_run(tmp_path):
    path = tmp_path / 'touched'
    for opcodes in (
        part(Touch(path)),
        part(print),
        tensor('a', (1,), (1,), kind='DoubleStorage'),
        tensor('a', (1,), (1,), module='other'),
    ):
        with pytest.raises(ValueError, match='torch file refused: expected tensors, got '):
            old_torch_tensors(torch_file({'x': opcodes}, NUMBERS))
    assert not path.exists()


@pytest.mark.parametrize(
    'opcodes',
    [
        tensor('a', (7,), (1,)), tensor('a', (2, 3), (4, 1)), tensor('a', (1,), (1,), offset=6),
        tensor('a', (2,), (-1,)), tensor('a', (1,), (1,), offset=-1), tensor('a', (-1,), (1,)),
        tensor('a', (2,), (1, 1)), tensor('none', (1,), (1,)),
    ],
)  # fmt: skip
def test_a_tensor_beyond_its_storage_is_refused(opcodes):
    with pytest.raises(ValueError, match='torch file refused'):
        old_torch_tensors(torch_file({'x': opcodes}, NUMBERS))


def test_damaged_and_foreign_files_are_refused():
    whole = torch_file(ENTRIES, NUMBERS)
    lists = b''.join(pickle.dumps(x, 2) for x in (MAGIC, VERSION, SYSTEM, [1], []))
    for damaged in (
        b'',
        b'garbage',
        whole[:-9],
        whole[:60],
        torch_file(ENTRIES, NUMBERS, 5),
        lists,
    ):
        with pytest.raises(ValueError, match='torch file refused'):
            old_torch_tensors(damaged)
