import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsep.ops import cost


@pytest.mark.parametrize(
    'inputs, outputs, size, groups, bias',
    [(6, 4, 3, 1, True), (6, 6, 3, 6, False), (6, 4, 1, 2, True)],
)
def test_a_convolution_costs_what_its_weights_are_and_how_often_they_are_used(
    inputs, outputs, size, groups, bias
):
    conv = nn.Conv(outputs, (size, size), feature_group_count=groups, use_bias=bias)
    params = jax.eval_shape(conv.init, jax.random.key(0), jnp.zeros((1, 5, 7, inputs)))['params']
    found = cost.convolution(inputs, outputs, 5 * 7, kernel_size=size, groups=groups, bias=bias)
    assert found.parameters == cost.count_parameters(params)
    assert found.multiply_adds == 5 * 7 * np.prod(params['kernel'].shape)
    with_norm = cost.convolution(
        inputs, outputs, 5 * 7, kernel_size=size, groups=groups, bias=bias, norm=True
    )
    assert with_norm.parameters - found.parameters == 2 * outputs
    assert with_norm.multiply_adds == found.multiply_adds


def test_modules_of_attention_cost_what_the_slides_of_ulsam_say_at_512_channels():
    places = 14 * 14
    non_local = cost.non_local(512, places, products=False)
    assert non_local.parameters == 524_288  # '524K'
    assert round(non_local.multiply_adds / 1e6, 2) == 102.76
    assert round(cost.squeeze_excite(512).parameters / 1e3) == 33  # '33K'
    assert round(cost.cbam(512, places).parameters / 1e3) == 33
    assert cost.cbam(512, places).parameters == 2 * 512 * 32 + 2 * 49


def test_the_products_of_all_places_with_all_are_two_of_half_the_channels():
    with_products, without = (cost.non_local(8, 10, products=p) for p in (True, False))
    assert with_products.multiply_adds - without.multiply_adds == 2 * 10 * 10 * 4


def test_costs_add_up_and_no_layers_cost_nothing():
    assert cost.total() == cost.Cost(0, 0)
    separable = cost.separable(8, 4, 9, norm=False)
    assert separable == cost.Cost(9 * 8 + 8 * 4, 9 * (9 * 8 + 8 * 4))


def test_parameters_of_shapes_and_of_numbers_are_counted_alike():
    tree = {'a': jnp.zeros((2, 3)), 'b': [jnp.zeros(()), jnp.zeros((0, 4))]}
    assert cost.count_parameters(tree) == 7
    assert cost.count_parameters(jax.eval_shape(lambda: tree)) == 7


def test_groups_that_do_not_divide_are_named():
    with pytest.raises(
        ValueError, match='groups: expected a divisor of 6 inputs and 4 outputs, got 3'
    ):
        cost.convolution(6, 4, 1, groups=3)
